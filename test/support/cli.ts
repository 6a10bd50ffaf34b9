/** The command as users run it, in a process of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { type AdminReader, readAdmin } from "./admin.js";

export interface RunningCommand extends AdminReader {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly port: number;
  readonly adminPort: number;
  /** Lines of standard output so far, but for what is said of the Node that the tests happen to run on. */
  readonly lines: string[];
  stop(): Promise<void>;
}

/**
 * Starts `glance-size-proxy` on free ports and waits until it says that it listens.
 * @param more arguments.
 * @param launcher a command that replaces itself by the one behind it, such as `["/usr/bin/env"]`.
 */
export async function startCommand(
  upstreamUrl: string,
  env: Record<string, string> = {},
  launcher: readonly string[] = [],
  more: readonly string[] = [],
  nodeFlags: readonly string[] = [],
): Promise<RunningCommand> {
  const addresses = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
  const [file = "", ...args] = [
    ...launcher,
    process.execPath,
    ...nodeFlags,
    ...["dist/cli.js", "--upstream", upstreamUrl, ...addresses, ...more],
  ];
  const child = spawn(file, args, {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...env },
  });
  const lines: string[] = [];
  const reader = createInterface({ input: child.stdout });
  reader.on("line", (line) => {
    if (!line.includes('"install a Node with security fixes"')) lines.push(line);
  });
  let listening: { listen: string; admin: string } | undefined;
  while (listening === undefined) {
    await Promise.race([
      once(reader, "line"),
      once(child, "exit").then(([code]) => {
        throw new Error(`the command ended with ${String(code)} before it listened`);
      }),
    ]);
    const line = lines.find((one) => one.includes('"listening"'));
    if (line !== undefined) listening = JSON.parse(line) as { listen: string; admin: string };
  }
  const adminPort = Number(new URL(listening.admin).port);
  return {
    child,
    pid: child.pid ?? 0,
    port: Number(new URL(listening.listen).port),
    adminPort,
    lines,
    ...readAdmin(adminPort),
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    },
  };
}
