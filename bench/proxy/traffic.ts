/** Both ends of the bench: the C program in `traffic/`, compiled when it is needed. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { explainMissing } from "../../test/support/requirements.js";
import type { Load } from "./workloads.js";

export interface Carried {
  readonly seconds: number;
  readonly failures: number;
  /** Of each request, seconds. */
  readonly p50?: number;
  readonly p99?: number;
}

export interface Sink {
  readonly port: number;
  readonly url: string;
  stop(): void;
}

export interface Traffic {
  startSink(): Promise<Sink>;
  run(port: number, load: Load): Promise<Carried>;
}

const SOURCES = "bench/proxy/traffic";

/** @throws Error where there is no C compiler. */
export async function compileTraffic(directory: string): Promise<Traffic> {
  const missing = explainMissing(["cc"]);
  if (missing !== undefined) throw new Error(missing);
  const program = join(directory, "traffic");
  const sources = (await readdir(SOURCES)).filter((file) => file.endsWith(".c"));
  await promisify(execFile)("cc", [
    "-O2",
    "-pthread",
    ...sources.map((file) => join(SOURCES, file)),
    "-o",
    program,
  ]);
  return {
    async startSink() {
      const child = spawn(program, ["sink"], { stdio: ["ignore", "pipe", "inherit"] });
      const port = Number(await firstLine(child));
      return { port, url: `http://127.0.0.1:${port}`, stop: () => void child.kill() };
    },
    async run(port, load) {
      if (load.kind === "stall") return stall(port, load.connections);
      const numbers =
        load.kind === "stream"
          ? ["stream", port, load.direction, load.body, load.mib, load.streams, load.each]
          : ["requests", port, load.method, load.bytes, load.connections, load.count];
      const { stdout } = await promisify(execFile)(program, numbers.map(String));
      return JSON.parse(stdout) as Carried;
    },
  };
}

export async function firstLine(child: ChildProcess): Promise<string> {
  if (!child.stdout) throw new Error("its output is not read");
  const lines = createInterface({ input: child.stdout });
  const [line] = (await Promise.race([
    once(lines, "line"),
    once(child, "exit").then(() => {
      throw new Error(`${child.spawnfile} ended before it was ready`);
    }),
  ])) as [string];
  return line;
}

const STALL_MS = 5_000;

/** Uploads that Glance does not read: each sends what the proxy takes. */
async function stall(port: number, connections: number): Promise<Carried> {
  const piece = Buffer.alloc(4 * 1024 * 1024);
  const sockets = Array.from({ length: connections }, () => {
    const socket = connect(port, "127.0.0.1").on("error", () => undefined);
    socket.write(`PUT /v2/images/stall/file HTTP/1.1\r\nHost: bench\r\nContent-Length: ${2 ** 30}\r\n\r\n`);
    socket.write(piece);
    return socket;
  });
  await delay(STALL_MS);
  const failures = sockets.filter(({ destroyed }) => destroyed).length;
  for (const socket of sockets) socket.destroy();
  return { seconds: STALL_MS / 1000, failures };
}
