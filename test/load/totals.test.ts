/** Many uploads at once, on the command in a process of its own: everything adds up, and nothing stays behind. */
import { afterEach, describe, expect, it } from "vitest";
import { type RunningCommand, startCommand } from "../support/cli.js";
import { showImage } from "../support/glance-client.js";
import { borrowGlance } from "../support/lent-glances.js";
import type { Glance } from "../support/real-glance.js";
import { describeWith } from "../support/requirements.js";
import { startStandIn } from "../support/stand-in.js";
import { descriptors, samples, settled, total, uploadLines } from "./account.js";
import { type Kind, KINDS, sendTraffic, type Sent } from "./traffic.js";

const MIB = 2 ** 20;
const OUTCOMES: Record<Kind, string> = {
  exact: "completed",
  long: "size_exceeded",
  short: "size_mismatch",
  vanishing: "client_aborted",
};

const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const act of cleanUp.splice(0).reverse()) await act();
});

async function start(glanceUrl: string): Promise<RunningCommand> {
  // Time enough for 500 connections at once, if other tests run, too.
  const proxy = await startCommand(glanceUrl, { GLANCE_SIZE_PROXY_UPSTREAM__CONNECT_TIMEOUT: "1m" });
  cleanUp.push(() => proxy.stop());
  return proxy;
}

/** Clients, Glance, metrics and log tell the same story. */
async function expectToAddUp(proxy: RunningCommand, glance: Glance, sent: readonly Sent[]): Promise<void> {
  await settled(proxy, sent.length);
  const outcomes = await samples(proxy, "uploads_total");
  for (const kind of KINDS) {
    const label = `operation="file",outcome="${OUTCOMES[kind]}",size_source="header"`;
    expect([kind, outcomes.get(label)]).toEqual([kind, sent.filter((one) => one.kind === kind).length]);
  }
  for (const { kind, status, text } of sent) {
    if (kind === "exact") expect(status, text).toBe(204);
    else if (kind !== "vanishing") expect(status, text).toBe(400);
  }
  const lines = new Map(uploadLines(proxy).map((line) => [line.imageId, line]));
  const sum = (numbers: readonly number[]): number => numbers.reduce((left, right) => left + right, 0);
  const told = sent.filter(({ kind }) => kind !== "vanishing");
  const vanished = sent.filter(({ kind }) => kind === "vanishing");
  // Bytes that were already on the way when a client left are read and counted, but are no part of its upload.
  const receivedBytes = await total(proxy, "upload_received_bytes_total");
  const toldBytes = sum(told.map(({ bytes }) => bytes));
  const ofVanished = vanished.map(({ imageId }) => lines.get(imageId)?.receivedBytes ?? NaN);
  expect(receivedBytes).toBeGreaterThanOrEqual(toldBytes + sum(ofVanished));
  expect(receivedBytes).toBeLessThanOrEqual(toldBytes + sum(vanished.map(({ bytes }) => bytes)));
  expect(await total(proxy, "upload_forwarded_bytes_total")).toBe(
    sum([...lines.values()].map(({ forwardedBytes }) => forwardedBytes)),
  );
  for (const { kind, imageId, bytes } of sent) {
    const image = await showImage(glance.port, imageId);
    if (kind === "exact") {
      expect(image).toMatchObject({ status: "active", size: bytes });
      expect(lines.get(imageId)).toMatchObject({ receivedBytes: bytes, forwardedBytes: bytes });
    } else {
      expect(image).toMatchObject({ status: "queued", size: null });
    }
  }
}

describe.runIf(process.platform === "linux")("load", () => {
  it("handles 500 simultaneous uploads (exact, long, short, aborted), and all totals are right", async () => {
    const glance = await startStandIn();
    cleanUp.push(() => glance.stop());
    const proxy = await start(glance.url);
    const before = await descriptors(proxy.pid);
    const sent = await sendTraffic({
      proxyPort: proxy.port,
      glancePort: glance.port,
      count: 500,
      concurrency: 500,
      bodyBytes: MIB / 2,
    });
    await expectToAddUp(proxy, glance, sent);
    await expect.poll(() => descriptors(proxy.pid)).toBeLessThanOrEqual(before + 2);
  }, 180_000);
});

describeWith(["glance-api"], "load on a real Glance", () => {
  it("handles 50 simultaneous uploads (exact, long, short, aborted), and all totals are right", async () => {
    const glance = await borrowGlance("eventlet");
    cleanUp.push(() => glance.stop());
    const proxy = await start(glance.url);
    const sent = await sendTraffic({
      proxyPort: proxy.port,
      glancePort: glance.port,
      count: 50,
      concurrency: 50,
      bodyBytes: 4 * MIB,
    });
    await expectToAddUp(proxy, glance, sent);
  }, 180_000);
});
