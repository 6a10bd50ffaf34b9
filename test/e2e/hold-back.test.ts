/** A body of declared size is complete for Glance only once the client's own body has ended. */
import { describe, expect, it } from "vitest";
import { CHUNKED, FILE, SIZE, STAGE, useScene } from "./scene.js";

const scene = useScene();

describe.each([
  ["file", FILE],
  ["stage", STAGE],
])("%s", (_, target) => {
  it.each([1, 2, 5, 64 * 1024, 64 * 1024 + 1, 200_000])(
    "one byte behind %i declared ones is refused, and Glance never has the last of those",
    async (size) => {
      const peer = await scene.startUpload({ [SIZE]: size }, target);
      peer.sendChunk(Buffer.alloc(size, "x"));
      const upload = await scene.uploadUpstream();
      await expect.poll(() => upload.bytes).toBe(size - 1);
      await scene.roundTrip();
      expect(upload).toMatchObject({ bytes: size - 1, complete: false });

      peer.sendChunk("x");
      const answer = await peer.response();
      expect(answer.status).toBe(400);
      expect(answer.text).toContain(`Size exceeds: expected ${size} bytes, got ${size + 1} bytes`);
      await upload.over;
      expect(upload).toMatchObject({ bytes: size - 1, complete: false });
      expect(scene.upstream.uploads).toHaveLength(1);
    },
  );

  it("the last byte follows as soon as the client's last chunk has come", async () => {
    const peer = await scene.startUpload({ [SIZE]: 5 }, target);
    peer.sendChunk("hello");
    const upload = await scene.uploadUpstream();
    await expect.poll(() => upload.bytes).toBe(4);
    peer.endChunks();
    expect((await peer.response()).status).toBe(204);
    expect(upload).toMatchObject({ bytes: 5, complete: true });
  });

  it("with 0 declared, Glance hears nothing before the body has ended", async () => {
    const peer = await scene.startUpload({ [SIZE]: 0 }, target);
    await scene.roundTrip();
    expect(scene.upstream.uploads).toEqual([]);

    peer.endChunks();
    expect((await peer.response()).status).toBe(204);
    expect(scene.upstream.uploads).toMatchObject([
      { bytes: 0, complete: true, headers: { "content-length": "0", [SIZE]: "0" } },
    ]);
  });

  it("with 0 declared, a body with a byte in it never reaches Glance", async () => {
    const peer = await scene.startUpload({ [SIZE]: 0 }, target);
    await scene.roundTrip();
    peer.sendChunk("x");
    const answer = await peer.response();
    expect(answer.status).toBe(400);
    expect(answer.text).toContain("Size exceeds: expected 0 bytes, got 1 bytes");
    peer.endChunks();
    expect(await peer.closed()).toBe("fin");
    expect(scene.upstream.uploads).toEqual([]);
    expect(await scene.proxy.metric('rollbacks_total{result="queued"}')).toBe(0);
  });
});

it("a chunked body cut before its last chunk is not completed", async () => {
  const peer = await scene.startUpload({ [SIZE]: 5 });
  peer.sendChunk("hello");
  const upload = await scene.uploadUpstream();
  await expect.poll(() => upload.bytes).toBe(4);
  peer.destroy();
  await upload.over;
  expect(upload).toMatchObject({ bytes: 4, complete: false });
});

it.each(["0", "0\r\n"])("a body cut inside its last chunk, after %j, is not completed", async (cut) => {
  const peer = await scene.startUpload({ [SIZE]: 5 });
  peer.sendChunk("hello").send(cut);
  const upload = await scene.uploadUpstream();
  await expect.poll(() => upload.bytes).toBe(4);
  peer.end();
  await upload.over;
  expect(upload).toMatchObject({ bytes: 4, complete: false });
});

it("a body of unknown size cut inside its last chunk is not completed either", async () => {
  const peer = await scene.startUpload();
  peer.sendChunk("hello").send("0\r\n");
  const upload = await scene.uploadUpstream();
  await expect.poll(() => upload.bytes).toBe(5);
  peer.end();
  await upload.over;
  expect(upload).toMatchObject({ bytes: 5, complete: false });
});

it("with a Content-Length the last byte is not kept any longer than the client keeps it", async () => {
  const peer = await scene.connect();
  peer.sendHead("PUT", FILE, { "Content-Length": 5 }).send("hell");
  const upload = await scene.uploadUpstream();
  await expect.poll(() => upload.bytes).toBe(4);
  expect(upload.complete).toBe(false);
  peer.send("o");
  expect((await peer.response()).status).toBe(204);
  expect(upload).toMatchObject({ bytes: 5, complete: true });
  expect(upload.headers).not.toHaveProperty(Object.keys(CHUNKED)[0]?.toLowerCase() ?? "");
});
