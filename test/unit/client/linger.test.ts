import { createServer, type Server } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { createLinger, LINGER, type LingerBounds } from "../../../src/client/linger.js";
import { connect, type Peer } from "../../support/raw-http.js";

const BOUNDS: LingerBounds = { totalMs: 5_000, idleMs: 2_000, capacity: 10, crowdedMs: 100 };

let server: Server | undefined;
afterEach(() => {
  server?.close();
  server?.closeAllConnections();
});

/** A server that refuses everything at once. */
async function refuseAll(bounds: Partial<LingerBounds>) {
  const discarded: number[] = [];
  const linger = createLinger({ ...BOUNDS, ...bounds });
  server = createServer((request, response) => {
    response.writeHead(400, { connection: "close", "content-length": 2 }).write("no");
    request.on("data", (piece: Buffer) => discarded.push(piece.length));
    linger(request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { port, discarded: () => discarded.reduce((sum, bytes) => sum + bytes, 0) };
}

async function refused(port: number): Promise<Peer> {
  const peer = await connect(port);
  peer.sendHead("PUT", "/", { "Transfer-Encoding": "chunked" }).sendChunk("hello");
  expect(await peer.response()).toMatchObject({ status: 400, text: "no" });
  return peer;
}

async function timeToEnd(peer: Peer): Promise<number> {
  const startedAt = performance.now();
  expect(await peer.closed()).toBe("fin");
  return performance.now() - startedAt;
}

describe("a client that was refused while it was sending", () => {
  it("is read until it has sent everything, then the connection closes cleanly", async () => {
    const { port, discarded } = await refuseAll({});
    const peer = await refused(port);
    const piece = Buffer.alloc(1024 * 1024);
    peer.sendChunk(piece).sendChunk(piece);
    await expect.poll(discarded).toBe(5 + 2 * piece.length);
    expect(peer.ending).toBeUndefined();
    peer.endChunks();
    expect(await timeToEnd(peer)).toBeLessThan(1_000);
    expect(peer.wasReset).toBe(false);
  });

  it("is disconnected if it sends nothing for too long", async () => {
    const { port } = await refuseAll({ idleMs: 150 });
    const tookMs = await timeToEnd(await refused(port));
    expect(tookMs).toBeGreaterThan(100);
    expect(tookMs).toBeLessThan(1_500);
  });

  it("is disconnected after the total time, even if it keeps sending", async () => {
    const { port } = await refuseAll({ totalMs: 300 });
    const peer = await refused(port);
    const startedAt = performance.now();
    while (peer.ending === undefined && performance.now() - startedAt < 3_000) {
      peer.sendChunk("x");
      await delay(20);
    }
    expect(peer.ending).toBeDefined();
    expect(performance.now() - startedAt).toBeGreaterThan(200);
    expect(performance.now() - startedAt).toBeLessThan(1_500);
  });

  it("is disconnected sooner if too many clients linger already, without effect on those", async () => {
    const { port } = await refuseAll({ capacity: 1 });
    const first = await refused(port);
    const second = await refused(port);
    expect(await timeToEnd(second)).toBeLessThan(1_000);
    expect(first.ending).toBeUndefined();
    first.endChunks();
    await timeToEnd(first);
    // Its place is free again.
    const third = await refused(port);
    await delay(3 * BOUNDS.crowdedMs);
    expect(third.ending).toBeUndefined();
    third.destroy();
  });

  it("frees its place exactly once if it disconnects by itself", async () => {
    const { port } = await refuseAll({ capacity: 1 });
    for (let time = 0; time < 3; time += 1) {
      const peer = await refused(port);
      peer.destroy();
    }
    await delay(50);
    const peer = await refused(port);
    await delay(3 * BOUNDS.crowdedMs);
    expect(peer.ending).toBeUndefined();
    peer.destroy();
  });
});

it("lingers for the times that let every measured client read its answer", () => {
  expect(LINGER).toMatchObject({ totalMs: 30_000, idleMs: 5_000, crowdedMs: 1_000 });
});
