/** Both ends of the bench: the C program in `traffic/`. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import type { Certificate } from "../../test/support/certificates.js";
import type { Load, TailLoad, Workload } from "./workloads.js";

export interface Carried {
  readonly seconds: number;
  readonly failures: number;
  /** Requests, and their seconds. */
  readonly count?: number;
  readonly p50?: number;
  readonly p99?: number;
}

export interface Sink {
  /** `http://...`, `https://...` or `unix:/PATH`. */
  readonly url: string;
  stop(): void;
}

export interface Traffic {
  startSink(glance: NonNullable<Workload["glance"]>): Promise<Sink>;
  /** @param address a port, or `tls:` and a port. */
  run(address: string, load: Load): Promise<Carried>;
}

/** What `compileTraffic` needs. */
export const TRAFFIC_NEEDS = ["cc", "libssl"] as const;

const SOURCES = "bench/proxy/traffic";

export async function compileTraffic(program: string): Promise<void> {
  const sources = (await readdir(SOURCES)).filter((file) => file.endsWith(".c"));
  const files = sources.map((file) => join(SOURCES, file));
  const flags = ["-O2", "-D_GNU_SOURCE", "-pthread"];
  await promisify(execFile)("cc", [...flags, ...files, "-lssl", "-lcrypto", "-o", program]);
}

/** @param program as compiled; the Unix socket is beside it. */
export function createTraffic(program: string, { certFile, keyFile }: Certificate): Traffic {
  return {
    async startSink(glance) {
      const args = { tcp: [], tls: [certFile, keyFile], unix: [`${program}.sock`] }[glance];
      const child = spawn(program, ["sink", glance, ...args], { stdio: ["ignore", "pipe", "inherit"] });
      const place = await firstLine(child);
      const scheme = { tcp: "http://127.0.0.1:", tls: "https://127.0.0.1:", unix: "unix:" }[glance];
      return { url: `${scheme}${place}`, stop: () => void child.kill() };
    },
    run: (address, load) =>
      load.kind === "tail" ? runTail(program, address, load) : runToEnd(program, argumentsOf(address, load)),
  };
}

function argumentsOf(address: string, load: Exclude<Load, TailLoad>): (string | number)[] {
  switch (load.kind) {
    case "stream":
      return ["stream", address, load.direction, load.body, load.mib, load.streams, load.each];
    case "requests":
      return ["requests", address, load.method, load.bytes, load.connections, load.count, LONGEST_MS / 1000];
    case "hold":
      return ["hold", address, load.what, load.clients, load.seconds];
  }
}

/** A load that takes longer is ended and counts as failed. */
const LONGEST_MS = 120_000;

async function runToEnd(program: string, args: readonly (string | number)[]): Promise<Carried> {
  try {
    const { stdout } = await promisify(execFile)(program, args.map(String), { timeout: LONGEST_MS });
    return JSON.parse(stdout) as Carried;
  } catch (error) {
    if ((error as { killed?: boolean }).killed) return { seconds: LONGEST_MS / 1000, failures: 1 };
    throw error;
  }
}

/** More than can be carried while the requests run. */
const ENDLESS_MIB = 2 ** 20;
const MANY = 1e6;

async function runTail(program: string, address: string, load: TailLoad): Promise<Carried> {
  const { streams, connections, seconds } = load;
  const background = [
    ["upload", "length"],
    ["download", "whole"],
  ].map((kind) => {
    const args = ["stream", address, ...kind, ENDLESS_MIB, streams, 1];
    return spawn(program, args.map(String), { stdio: ["ignore", "ignore", "inherit"] });
  });
  try {
    return await runToEnd(program, ["requests", address, "GET", 0, connections, MANY, seconds]);
  } finally {
    const ended = background.map((child) => once(child, "exit"));
    for (const child of background) child.kill();
    await Promise.all(ended);
  }
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
