/** The program that is to replace this one, played by a script. */
import { ChildProcess } from "node:child_process";
import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { startSuccessor, type Successor } from "../../src/successor.js";

const OPENED = { listen: "127.0.0.1:9292", admin: "127.0.0.1:9190" };
let folder: string;
const started: Successor[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "successor-"));
});
afterEach(async () => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  for (const successor of started.splice(0)) successor.kill();
  await rm(folder, { recursive: true });
});

/** The successor runs the same command: here a script. */
async function start(script: string, timeoutMs?: number): Promise<Successor> {
  const file = join(folder, "program.mjs");
  await writeFile(file, script);
  const socket = await open(file);
  const { argv, execArgv } = process;
  try {
    process.argv = [process.execPath, file];
    process.execArgv = [];
    const successor = startSuccessor({ listen: socket.fd, admin: socket.fd }, OPENED, timeoutMs);
    started.push(successor);
    return successor;
  } finally {
    process.argv = argv;
    process.execArgv = execArgv;
    await socket.close();
  }
}

function isRunning({ pid = 0 }: Successor): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

it("that hangs before it listens is ended after the time limit, even if it ignores signals", async () => {
  const hangs = await start(
    'process.on("SIGTERM", () => undefined); setInterval(() => undefined, 1000);',
    300,
  );
  expect(isRunning(hangs)).toBe(true);
  await expect(hangs.listening).rejects.toThrow("it did not listen within 0.3 s, and was killed");
  await expect.poll(() => isRunning(hangs)).toBe(false);
});

it("that listens in time lives on after the time limit", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const listens = await start('process.send("listens"); setInterval(() => undefined, 1000);', 60_000);
  const end = vi.spyOn(ChildProcess.prototype, "kill");
  await listens.listening;
  vi.advanceTimersByTime(60_001);
  expect(end).not.toHaveBeenCalled();
  expect(isRunning(listens)).toBe(true);
});

it("that ends at once is reported with its exit code", async () => {
  const ends = await start("process.exit(2);");
  await expect(ends.listening).rejects.toThrow("it ended with 2 before it listened");
});
