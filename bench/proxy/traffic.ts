/** Both ends of the bench: the C program in `traffic/`, compiled when it is needed. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import type { Certificate } from "../../test/support/certificates.js";
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

/** Where clients connect. */
export interface Door {
  readonly port: number;
  readonly tls: boolean;
}

/** For everything that speaks TLS. */
export interface TlsFiles {
  /** What verifies the certificate. */
  readonly caFile: string;
  readonly certificate: Certificate;
}

export interface Traffic {
  readonly tls: TlsFiles;
  startSink(glance: "tcp" | "tls"): Promise<Sink>;
  run(door: Door, load: Load): Promise<Carried>;
}

/** A load that takes longer is ended and counts as failed. */
const LONGEST_MS = 120_000;
const SOURCES = "bench/proxy/traffic";

/** What `compileTraffic` needs. */
export const TRAFFIC_NEEDS = ["cc", "libssl"] as const;

export async function compileTraffic(directory: string, tls: TlsFiles): Promise<Traffic> {
  const program = join(directory, "traffic");
  const sources = (await readdir(SOURCES)).filter((file) => file.endsWith(".c"));
  const files = sources.map((file) => join(SOURCES, file));
  const flags = ["-O2", "-D_GNU_SOURCE", "-pthread"];
  await promisify(execFile)("cc", [...flags, ...files, "-lssl", "-lcrypto", "-o", program]);
  return {
    tls,
    async startSink(glance) {
      const args = glance === "tls" ? [tls.certificate.certFile, tls.certificate.keyFile] : [];
      const child = spawn(program, ["sink", ...args], { stdio: ["ignore", "pipe", "inherit"] });
      const port = Number(await firstLine(child));
      const scheme = glance === "tls" ? "https" : "http";
      return { port, url: `${scheme}://127.0.0.1:${port}`, stop: () => void child.kill() };
    },
    async run(door, load) {
      if (load.kind === "stall") return stall(door.port, load.connections);
      const address = `${door.tls ? "tls:" : ""}${door.port}`;
      const args =
        load.kind === "stream"
          ? ["stream", address, load.direction, load.body, load.mib, load.streams, load.each]
          : ["requests", address, load.method, load.bytes, load.connections, load.count];
      try {
        const { stdout } = await promisify(execFile)(program, args.map(String), { timeout: LONGEST_MS });
        return JSON.parse(stdout) as Carried;
      } catch (error) {
        if ((error as { killed?: boolean }).killed) return { seconds: LONGEST_MS / 1000, failures: 1 };
        throw error;
      }
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
    socket.write(
      `PUT /v2/images/stall/file HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${2 ** 30}\r\n\r\n`,
    );
    socket.write(piece);
    return socket;
  });
  await delay(STALL_MS);
  const failures = sockets.filter(({ destroyed }) => destroyed).length;
  for (const socket of sockets) socket.destroy();
  return { seconds: STALL_MS / 1000, failures };
}
