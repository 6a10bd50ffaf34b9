/** The command with a standard output whose reader can stop, go on, and go away. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, mkdtempSync, openSync, rmSync } from "node:fs";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readLines } from "../../src/observe/read-lines.js";
import { type AdminReader, readAdmin } from "./admin.js";
import { NEW_NODE } from "./pretended-node.js";

export interface ReadCommand extends AdminReader {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly port: number;
  /** What was read, parsed. */
  readonly lines: readonly Record<string, unknown>[];
  /** The same as it came. */
  readonly raw: readonly string[];
  stopReading(): void;
  goOnReading(): void;
  /** Nobody has the other end any more. */
  leave(): void;
  stop(): Promise<void>;
}

/** @param output a named pipe, or a socket such as systemd's journal hands out. */
export async function startReadCommand(
  output: "pipe" | "socket",
  upstreamUrl: string,
  env: Record<string, string> = {},
): Promise<ReadCommand> {
  const pipe = output === "pipe" ? openPipe() : undefined;
  const args = ["--upstream", upstreamUrl, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
  const child = spawn(process.execPath, ["dist/cli.js", ...args], {
    stdio: ["ignore", pipe?.writeEnd ?? "pipe", "inherit"],
    env: { ...process.env, ...NEW_NODE, ...env },
  });
  if (pipe) closeSync(pipe.writeEnd);
  const reader = pipe?.reader ?? (child.stdout as Socket);
  const raw: string[] = [];
  const lines: Record<string, unknown>[] = [];
  const listening = new Promise<{ listen: string; admin: string }>((resolve, reject) => {
    readLines(reader, (line) => {
      raw.push(line);
      const parsed = JSON.parse(line) as Record<string, unknown>;
      lines.push(parsed);
      if (parsed["msg"] === "listening") resolve(parsed as { listen: string; admin: string });
    });
    child.once("exit", (code) => reject(new Error(`the command ended with ${String(code)}`)));
  });
  const { listen, admin } = await listening;
  return {
    child,
    pid: child.pid ?? 0,
    port: Number(new URL(listen).port),
    lines,
    raw,
    ...readAdmin(Number(new URL(admin).port)),
    stopReading: () => void reader.pause(),
    goOnReading: () => void reader.resume(),
    leave: () => void reader.destroy(),
    async stop() {
      reader.destroy();
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/** Node's own pipes to a child are sockets. */
function openPipe(): { readonly reader: Socket; readonly writeEnd: number } {
  const directory = mkdtempSync(join(tmpdir(), "pipe-"));
  const path = join(directory, "log");
  execFileSync("mkfifo", [path]);
  const readEnd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writeEnd = openSync(path, constants.O_WRONLY);
  rmSync(directory, { recursive: true });
  return { reader: new Socket({ fd: readEnd, readable: true, writable: false }), writeEnd };
}
