/** Where a proxy stands, and what has been started there. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Certificate } from "../../test/support/certificates.js";
import { firstLine } from "./traffic.js";

export interface Site {
  /** `http://...`, `https://...` or `unix:/PATH`. */
  readonly upstreamUrl: string;
  /** CA bundle that verifies Glance's certificate. */
  readonly caFile: string;
  /** For clients; undefined if they do not use TLS. */
  readonly clientTls: Certificate | undefined;
  /** Where the proxy stores each upload before it sends it on; undefined if it does not. */
  readonly spoolDir: string | undefined;
}

export interface Running {
  readonly pid: number;
  readonly port: number;
  stop(): Promise<void>;
}

/** Starts a program that prints the port that it listens on. */
export async function startPrinting(
  program: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Running> {
  const child = spawn(program, args, {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...env },
  });
  const exited = once(child, "exit");
  const port = Number(await firstLine(child));
  return {
    pid: child.pid ?? 0,
    port,
    async stop() {
      child.kill();
      await exited;
    },
  };
}
