/** What only the raw relay could get wrong; all the rest is tested over both. */
import { createHash, randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { FILE, SIZE, useScene } from "./scene.js";

const MIB = 1024 * 1024;

const scene = useScene({ upload: { relay: "auto" } });
const body = randomBytes(12 * MIB + 1);
const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

/** Glance reads in fits and starts: what is on its way stays there for a while. */
function readSlowly(): { digest(): string } {
  const hash = createHash("sha256");
  scene.upstream.onUpload = (incoming, response) => {
    response.writeContinue();
    incoming.on("data", (piece: Buffer) => {
      hash.update(piece);
      incoming.pause();
      setTimeout(() => incoming.resume(), 1);
    });
    incoming.once("end", () => response.writeHead(204).end());
  };
  return { digest: () => hash.digest("hex") };
}

describe("every byte of a large upload reaches a slow Glance as it was", () => {
  test("Content-Length", async () => {
    const seen = readSlowly();
    const peer = await scene.connect();
    peer.sendHead("PUT", FILE, { "Content-Length": body.length }).send(body);
    expect((await peer.response()).status).toBe(204);
    expect(seen.digest()).toBe(sha256(body));
  });

  test.each([1000, 5000, 64 * 1024, MIB, 3 * MIB + 7])("chunks of %i bytes", async (size) => {
    const seen = readSlowly();
    const peer = await scene.startUpload({ [SIZE]: body.length });
    for (let at = 0; at < body.length; at += size) peer.sendChunk(body.subarray(at, at + size));
    peer.endChunks();
    expect((await peer.response()).status).toBe(204);
    expect(seen.digest()).toBe(sha256(body));
  });

  test("a trickle of pieces too small for Glance's connection to push back", async () => {
    const seen = readSlowly();
    let read = (): void => undefined;
    const readWhenAsked = scene.upstream.onUpload;
    scene.upstream.onUpload = (incoming, response) => {
      response.writeContinue();
      incoming.pause();
      read = () => {
        readWhenAsked(incoming, response);
        incoming.resume();
      };
    };
    const whole = body.subarray(0, 6 * MIB);
    const peer = await scene.connect();
    peer.sendHead("PUT", FILE, { "Content-Length": whole.length });
    await scene.uploadUpstream();
    for (let at = 0; at < whole.length; at += 8000) {
      peer.send(whole.subarray(at, at + 8000));
      await new Promise((resolve) => setTimeout(resolve, 1)); // a read of its own, most often
    }
    read();
    expect((await peer.response()).status).toBe(204);
    expect(seen.digest()).toBe(sha256(whole));
  });

  test("in chunks that it is also sent on in", async () => {
    const asTheyCome = await scene.startAnother({ size: { reframe: false }, upload: { relay: "auto" } });
    const seen = readSlowly();
    const peer = await scene.startUpload({ [SIZE]: body.length }, FILE, asTheyCome.port);
    peer.sendChunk(body).endChunks();
    expect((await peer.response()).status).toBe(204);
    expect(seen.digest()).toBe(sha256(body));
  });
});

test("it is used for large uploads alone, and says so", async () => {
  expect(await scene.proxy.metric('relay_info{relay="raw"}')).toBe(1);
  const peer = await scene.connect();
  peer.sendHead("PUT", FILE, { "Content-Length": 5 }).send("hello");
  expect((await peer.response()).headers["connection"]).toBe("keep-alive");
  peer.sendHead("PUT", FILE, { "Content-Length": MIB }).send(body.subarray(0, MIB));
  expect((await peer.response()).headers["connection"]).toBe("close");
  expect(await peer.closed()).toBe("fin");
});

test("upload.relay: stream turns it off", async () => {
  const other = await scene.startAnother({ upload: { relay: "stream" } });
  expect(await other.metric('relay_info{relay="stream"}')).toBe(1);
  const peer = await scene.connect(other.port);
  peer.sendHead("PUT", FILE, { "Content-Length": MIB }).send(body.subarray(0, MIB));
  expect((await peer.response()).headers["connection"]).toBe("keep-alive");
});

test("a request behind a large upload is neither answered nor sent on", async () => {
  const peer = await scene.connect();
  peer.sendHead("PUT", FILE, { "Content-Length": MIB }).send(body.subarray(0, MIB));
  peer.sendHead("DELETE", "/v2/images/victim", {});
  expect((await peer.response()).status).toBe(204);
  expect(await peer.closed()).toBe("fin");
  await scene.roundTrip();
  expect(scene.upstream.requests.filter(({ method }) => method === "DELETE")).toEqual([]);
});
