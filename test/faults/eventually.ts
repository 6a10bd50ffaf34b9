import { setTimeout as delay } from "node:timers/promises";

/** Everything that is configured to end does so long before; the rest is for a busy machine. */
export const DEADLINE_MS = 30_000;

/** Polls; vitest's own `expect.poll` does not know which of several concurrent tests it belongs to. */
export async function eventually(
  holds: () => boolean,
  what: string,
  deadlineMs: number = DEADLINE_MS,
): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`waited ${deadlineMs} ms for ${what}`);
    await delay(5);
  }
}
