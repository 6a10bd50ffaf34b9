/** A client that is still sending when it is refused reads the whole answer, then sees an orderly end. */
import { describe, expect, it } from "vitest";
import { FILE, SIZE, useScene } from "./scene.js";

const scene = useScene({ limits: { maxImageSize: "1GiB" } });
const MIB = Buffer.alloc(1024 * 1024, "x");

describe("a refused client that goes on sending", () => {
  it("gets its answer at once, and FIN only after it has sent everything", async () => {
    const peer = await scene.startUpload({ [SIZE]: 5 });
    peer.sendChunk("hello!");
    const answer = await peer.response();
    expect(answer.status).toBe(400);
    expect(answer.headers).toMatchObject({
      connection: "close",
      "content-length": String(answer.body.length),
    });
    for (let sent = 0; sent < 8; sent += 1) peer.sendChunk(MIB);
    await peer.flushed();
    await scene.roundTrip();
    expect(peer.ending).toBeUndefined();
    peer.endChunks();
    expect(await peer.closed()).toBe("fin");
    expect(peer.wasReset).toBe(false);
  });

  it("with a Content-Length is read to its end, too", async () => {
    const peer = await scene.connect();
    peer.sendHead("PUT", FILE, { "Content-Length": 2 * MIB.length, [SIZE]: 5 }).send(MIB);
    const answer = await peer.response();
    expect(answer.status).toBe(400);
    expect(peer.ending).toBeUndefined();
    peer.send(MIB);
    expect(await peer.closed()).toBe("fin");
    expect(peer.wasReset).toBe(false);
  });

  it("gets its answer even if it reads only after sending everything, as python-requests does", async () => {
    const peer = await scene.startUpload({ [SIZE]: 5 });
    peer.pause();
    for (let sent = 0; sent < 16; sent += 1) peer.sendChunk(MIB);
    peer.endChunks();
    await peer.flushed();
    peer.resume();
    expect((await peer.response()).status).toBe(400);
    expect(await peer.closed()).toBe("fin");
    expect(peer.wasReset).toBe(false);
  });

  it("without having waited for 100 Continue is read to its end", async () => {
    const peer = await scene.startUpload({ "Upload-Length": "2147483648", Expect: "100-continue" });
    const answer = await peer.response();
    expect(answer.status).toBe(413);
    peer.sendChunk(MIB).endChunks();
    expect(await peer.closed()).toBe("fin");
    expect(peer.wasReset).toBe(false);
  });

  it.each([
    ["GET", "/v2/images/..%2f"],
    ["POST", "/v2/images?_method=PUT"],
  ])("%s %s is seen through to its end, whatever it was refused for", async (method, target) => {
    const peer = await scene.connect();
    peer.sendHead(method, target, { "Transfer-Encoding": "chunked" }).sendChunk(MIB);
    expect((await peer.response()).status).toBe(400);
    peer.sendChunk(MIB).endChunks();
    expect(await peer.closed()).toBe("fin");
    expect(peer.wasReset).toBe(false);
  });

  it("has the discarded bytes counted as received, and none of them as sent on", async () => {
    const peer = await scene.startUpload({ [SIZE]: 5 });
    peer.sendChunk("hello!");
    await peer.response();
    peer.sendChunk(MIB).endChunks();
    await peer.closed();
    const received = await scene.proxy.metric('upload_received_bytes_total{operation="file"}');
    expect(received).toBe(6 + MIB.length);
    expect(await scene.proxy.metric('upload_forwarded_bytes_total{operation="file"}')).toBeLessThan(5);
  });
});

it("a client that had sent everything keeps its connection", async () => {
  const peer = await scene.connect();
  peer.sendHead("PUT", FILE, { "Content-Length": 0, [SIZE]: 5 });
  const answer = await peer.response();
  expect(answer.status).toBe(400);
  expect(answer.headers["connection"]).not.toBe("close");
  peer.sendHead("GET", "/v2/schemas/image");
  expect((await peer.response()).status).toBe(200);
});

it(
  "a client that stops sending without an end is let go after a few seconds",
  { timeout: 15_000 },
  async () => {
    const peer = await scene.startUpload({ [SIZE]: 5 });
    peer.sendChunk("hello!");
    expect((await peer.response()).status).toBe(400);
    const answeredAt = performance.now();
    expect(await peer.closed()).toBe("fin");
    const tookMs = performance.now() - answeredAt;
    expect(tookMs).toBeGreaterThan(4_000);
    expect(tookMs).toBeLessThan(8_000);
  },
);
