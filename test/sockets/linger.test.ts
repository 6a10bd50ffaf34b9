import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { createLinger, LINGER, type LingerBounds } from "../../src/client/linger.js";
import { connect, type Peer } from "../support/raw-http.js";

/** If a test shortens one of these, only that one can end its connection: the others are longer than every deadline. */
const BOUNDS: LingerBounds = { totalMs: 60_000, idleMs: 60_000, capacity: 10, crowdedMs: 100 };

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

describe("a client that was refused while it was sending", () => {
  it("is read until it has sent everything, then the connection closes cleanly", async () => {
    const { port, discarded } = await refuseAll({});
    const peer = await refused(port);
    const piece = Buffer.alloc(1024 * 1024);
    peer.sendChunk(piece).sendChunk(piece);
    await expect.poll(discarded).toBe(5 + 2 * piece.length);
    expect(peer.ending).toBeUndefined();
    peer.endChunks();
    expect(await peer.closed()).toBe("fin");
    expect(peer.wasReset).toBe(false);
  });

  it("is disconnected if it sends nothing for too long", async () => {
    const { port } = await refuseAll({ idleMs: 150 });
    const startedAt = performance.now();
    expect(await (await refused(port)).closed()).toBe("fin");
    expect(performance.now() - startedAt).toBeGreaterThan(140);
  });

  it("is disconnected after the total time, even if it keeps sending", async () => {
    const { port } = await refuseAll({ totalMs: 300 });
    const startedAt = performance.now();
    const peer = await refused(port);
    const sending = setInterval(() => peer.sendChunk("x"), 20); // often, until the total time is over
    try {
      await peer.closed();
    } finally {
      clearInterval(sending);
    }
    expect(performance.now() - startedAt).toBeGreaterThan(290);
  });

  it("is disconnected sooner if too many clients linger already, without effect on those", async () => {
    const { port } = await refuseAll({ capacity: 1 });
    const first = await refused(port);
    const second = await refused(port);
    expect(await second.closed()).toBe("fin");
    expect(first.ending).toBeUndefined();
    first.endChunks();
    expect(await first.closed()).toBe("fin");
    // Its place is free again: the third client gets it, and the fourth is one too many.
    const third = await refused(port);
    await (await refused(port)).closed();
    expect(third.ending).toBeUndefined();
    third.destroy();
  });

  it("frees its place exactly once if it disconnects by itself", async () => {
    const { port } = await refuseAll({ capacity: 1 });
    for (let time = 0; time < 3; time += 1) {
      const peer = await refused(port);
      peer.destroy();
    }
    const connections = (): Promise<number> =>
      new Promise((resolve) => server?.getConnections((_error, count) => resolve(count)));
    await expect.poll(connections).toBe(0);
    const peer = await refused(port);
    await (await refused(port)).closed();
    expect(peer.ending).toBeUndefined();
    peer.destroy();
  });
});

it("lingers for the times that let every measured client read its answer", () => {
  expect(LINGER).toMatchObject({ totalMs: 30_000, idleMs: 5_000, crowdedMs: 1_000 });
});
