/** Many uploads at once, on the command in a process of its own: everything adds up, and nothing stays behind. */
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { type AddressInfo, connect as connectSocket, createServer, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { type RunningCommand, startCommand } from "../support/cli.js";
import { showImage } from "../support/glance-client.js";
import { residentBytes } from "../support/process-memory.js";
import { request, requestHead } from "../support/raw-http.js";
import { type Glance, startRealGlance } from "../support/real-glance.js";
import { describeWith } from "../support/requirements.js";
import { startStandIn } from "../support/stand-in.js";
import { type Kind, KINDS, sendTraffic, type Sent } from "./traffic.js";

const MIB = 2 ** 20;
/** A thousand uploads each. `npm run soak` takes many more than the few of every run. */
const SOAK_ROUNDS = Number(process.env["SOAK_ROUNDS"] ?? 4);
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
  const proxy = await startCommand(glanceUrl);
  cleanUp.push(() => proxy.stop());
  return proxy;
}

/** Samples of `/metrics` whose name begins so, by their labels. */
async function samples(proxy: RunningCommand, name: string): Promise<Map<string, number>> {
  const { text } = await request(proxy.adminPort, "GET", "/metrics");
  const found = new Map<string, number>();
  for (const line of text.split("\n")) {
    const match = new RegExp(`^glance_size_proxy_${name}(?:\\{(.*)\\})? (\\S+)$`).exec(line);
    if (match) found.set(match[1] ?? "", Number(match[2]));
  }
  return found;
}

async function total(proxy: RunningCommand, name: string): Promise<number> {
  return [...(await samples(proxy, name)).values()].reduce((sum, value) => sum + value, 0);
}

/** The proxy's own account of each upload, from its log. */
function uploadLines(
  proxy: RunningCommand,
): { imageId: string; receivedBytes: number; forwardedBytes: number }[] {
  return proxy.lines
    .filter((line) => line.includes('"msg":"upload"'))
    .map((line) => JSON.parse(line) as never);
}

async function settled(proxy: RunningCommand, uploads: number): Promise<void> {
  await expect.poll(() => total(proxy, "uploads_total"), { timeout: 60_000, interval: 100 }).toBe(uploads);
  expect(await total(proxy, "uploads_in_flight")).toBe(0);
  await expect.poll(() => uploadLines(proxy).length, { timeout: 10_000 }).toBe(uploads);
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

async function descriptors(pid: number): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`)).length;
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
    await expect.poll(() => descriptors(proxy.pid), { timeout: 20_000 }).toBeLessThanOrEqual(before + 2);
  }, 180_000);

  it("keeps its memory and descriptors flat over thousands of uploads", async () => {
    const glance = await startStandIn();
    cleanUp.push(() => glance.stop());
    const proxy = await start(glance.url);
    const options = { proxyPort: proxy.port, glancePort: glance.port, concurrency: 40, bodyBytes: 64 * 1024 };
    let count = 0;
    const round = async (): Promise<number> => {
      await sendTraffic({ ...options, count: 1000 });
      await settled(proxy, (count += 1000));
      return residentBytes(proxy.pid);
    };
    // The first rounds fill caches and let the collector find its pace.
    await round();
    const descriptorsBefore = await descriptors(proxy.pid);
    const memory: number[] = [];
    while (memory.length < SOAK_ROUNDS) memory.push(await round());
    expect(Math.max(...memory) - Math.min(...memory)).toBeLessThan(48 * MIB);
    await expect
      .poll(() => descriptors(proxy.pid), { timeout: 20_000 })
      .toBeLessThanOrEqual(descriptorsBefore + 2);
    if (SOAK_ROUNDS > 4)
      console.info(`resident after each round, MiB: ${memory.map((b) => Math.round(b / MIB)).join(" ")}`);
  }, 900_000);

  it("stays under 300 MiB with 200 uploads to a Glance that does not read", async () => {
    const sockets = new Set<Socket>();
    const glance = createServer((socket) => {
      sockets.add(socket);
      socket
        .on("error", () => undefined)
        .once("data", (head) => {
          // 100, so that the body comes, and then not another byte is read.
          if (String(head).startsWith("PUT")) socket.pause().write("HTTP/1.1 100 Continue\r\n\r\n");
          else socket.end('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"status":"queued"}');
        });
    });
    glance.listen(0, "127.0.0.1");
    await once(glance, "listening");
    cleanUp.push(() => {
      for (const socket of sockets) socket.destroy();
      glance.close();
    });
    const proxy = await start(`http://127.0.0.1:${(glance.address() as AddressInfo).port}`);
    const clients = Array.from({ length: 200 }, (_, index) => {
      const client = connectSocket(proxy.port, "127.0.0.1").on("error", () => undefined);
      client.write(requestHead("PUT", `/v2/images/${index}/file`, { "Content-Length": 1024 * MIB }));
      const piece = Buffer.alloc(MIB);
      const send = (): void => {
        while (client.write(piece));
        client.once("drain", send);
      };
      send();
      return client;
    });
    cleanUp.push(() => {
      for (const client of clients) client.destroy();
    });
    // Until nothing moves any more: every buffer on the way is full.
    let last = -1;
    await expect
      .poll(
        async () => {
          const { text } = await request(proxy.adminPort, "GET", "/uploads");
          const { inFlight } = JSON.parse(text) as { inFlight: { receivedBytes: number }[] };
          const received = inFlight.reduce((sum, upload) => sum + upload.receivedBytes, 0);
          const still = inFlight.length === 200 && received > 0 && received === last;
          last = received;
          return still;
        },
        { timeout: 60_000, interval: 500 },
      )
      .toBe(true);
    const resident = await residentBytes(proxy.pid);
    console.info(`resident: ${Math.round(resident / MIB)} MiB`);
    expect(resident).toBeLessThan(300 * MIB);
  }, 120_000);
});

describeWith(["glance-api"], "load on a real Glance", () => {
  it("handles 50 simultaneous uploads (exact, long, short, aborted), and all totals are right", async () => {
    const glance = await startRealGlance({ server: "eventlet" });
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
