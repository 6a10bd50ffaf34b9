/** What the proxy itself says of its uploads, in its metrics and in its log, and how many descriptors it has open. */
import { readdir } from "node:fs/promises";
import { expect } from "vitest";
import type { RunningCommand } from "../support/cli.js";
import { request } from "../support/raw-http.js";

/** Samples of `/metrics` whose name begins so, by their labels. */
export async function samples(proxy: RunningCommand, name: string): Promise<Map<string, number>> {
  const { text } = await request(proxy.adminPort, "GET", "/metrics");
  const found = new Map<string, number>();
  for (const line of text.split("\n")) {
    const match = new RegExp(`^glance_size_proxy_${name}(?:\\{(.*)\\})? (\\S+)$`).exec(line);
    if (match) found.set(match[1] ?? "", Number(match[2]));
  }
  return found;
}

export async function total(proxy: RunningCommand, name: string): Promise<number> {
  return [...(await samples(proxy, name)).values()].reduce((sum, value) => sum + value, 0);
}

/** The proxy's own account of each upload, from its log. */
export function uploadLines(
  proxy: RunningCommand,
): { imageId: string; receivedBytes: number; forwardedBytes: number }[] {
  return proxy.lines
    .filter((line) => line.includes('"msg":"upload"'))
    .map((line) => JSON.parse(line) as never);
}

export async function settled(proxy: RunningCommand, uploads: number): Promise<void> {
  await expect.poll(() => total(proxy, "uploads_total"), { timeout: 60_000, interval: 100 }).toBe(uploads);
  expect(await total(proxy, "uploads_in_flight")).toBe(0);
  await expect.poll(() => uploadLines(proxy).length).toBe(uploads);
}

export async function descriptors(pid: number): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`)).length;
}
