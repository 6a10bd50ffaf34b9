/** What only the raw relay could get wrong; all the rest is tested over both. */
import { randomBytes } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { sha256 } from "../support/bytes.js";
import { until } from "../support/glance-client.js";
import { FILE, readSlowly, SIZE, useScene } from "./scene.js";

const MIB = 1024 * 1024;

const scene = useScene({ upload: { relay: "auto" } });
const body = randomBytes(12 * MIB + 1);

describe("every byte of a large upload reaches a slow Glance as it was", () => {
  it("Content-Length", async () => {
    const seen = readSlowly(scene.upstream);
    const peer = await scene.connect();
    peer.sendHead("PUT", FILE, { "Content-Length": body.length }).send(body);
    expect((await peer.response()).status).toBe(204);
    expect(seen.digest()).toBe(sha256(body));
  });

  describe.each([
    ["whose size is told", { [SIZE]: body.length }],
    ["whose size nobody tells", {}],
  ])("%s", (_, headers) => {
    it.each([1000, 5000, 64 * 1024, MIB, 3 * MIB + 7])("chunks of %i bytes", async (size) => {
      const seen = readSlowly(scene.upstream);
      const peer = await scene.startUpload(headers);
      for (let at = 0; at < body.length; at += size) peer.sendChunk(body.subarray(at, at + size));
      peer.endChunks();
      expect((await peer.response()).status).toBe(204);
      expect(seen.digest()).toBe(sha256(body));
    });
  });

  it("many pieces that are too small to cause back-pressure", async () => {
    const seen = readSlowly(scene.upstream);
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
      await turn(); // in which the proxy, in this process, reads the piece
    }
    read();
    expect((await peer.response()).status).toBe(204);
    expect(seen.digest()).toBe(sha256(whole));
  });

  it("sent to Glance in chunks, too", async () => {
    const asTheyCome = await scene.startAnother({ size: { reframe: false }, upload: { relay: "auto" } });
    const seen = readSlowly(scene.upstream);
    const peer = await scene.startUpload({ [SIZE]: body.length }, FILE, asTheyCome.port);
    peer.sendChunk(body).endChunks();
    expect((await peer.response()).status).toBe(204);
    expect(seen.digest()).toBe(sha256(body));
  });
});

it("data queued for a Glance that refuses is not overwritten by later data", async () => {
  let refuse = (): void => undefined;
  let endAnswer = (): void => undefined;
  let readOn = (): unknown => undefined;
  const pieces: Buffer[] = [];
  scene.upstream.onUpload = (incoming, response) => {
    response.writeContinue();
    incoming.pause();
    refuse = () => response.writeHead(413, { "content-length": 4 }).write("no");
    endAnswer = () => response.end("!!");
    readOn = () => incoming.on("data", (piece: Buffer) => pieces.push(piece)).resume();
  };
  const whole = randomBytes(64 * MIB);
  const peer = await scene.connect();
  peer.sendHead("PUT", FILE, { "Content-Length": whole.length }).send(whole);
  const { forwardedBytes } = await scene.proxy.standstill();
  refuse();
  await peer.flushed();
  readOn();
  await until(
    () => Promise.resolve(Buffer.concat(pieces).length),
    (bytes) => bytes === forwardedBytes,
  );
  expect(sha256(Buffer.concat(pieces))).toBe(sha256(whole.subarray(0, forwardedBytes)));
  endAnswer();
  expect(await peer.response()).toMatchObject({ status: 413, text: "no!!" });
});

it("the raw relay is used for uploads that are large or may be, and the metrics show it", async () => {
  expect(await scene.proxy.metric('relay_info{relay="raw"}')).toBe(1);
  const peer = await scene.connect();
  peer.sendHead("PUT", FILE, { "Content-Length": 5 }).send("hello");
  expect((await peer.response()).headers["connection"]).toBe("keep-alive");
  peer.sendHead("PUT", FILE, { "Content-Length": MIB }).send(body.subarray(0, MIB));
  expect((await peer.response()).headers["connection"]).toBe("close");
  expect(await peer.closed()).toBe("fin");
  const undeclared = (await scene.startUpload()).sendChunk("hello").endChunks();
  expect((await undeclared.response()).headers["connection"]).toBe("close");
});

it("upload.relay: stream turns the raw relay off", async () => {
  const other = await scene.startAnother({ upload: { relay: "stream" } });
  expect(await other.metric('relay_info{relay="stream"}')).toBe(1);
  const peer = await scene.connect(other.port);
  peer.sendHead("PUT", FILE, { "Content-Length": MIB }).send(body.subarray(0, MIB));
  expect((await peer.response()).headers["connection"]).toBe("keep-alive");
});

it("a request behind a large upload is neither answered nor sent on", async () => {
  const peer = await scene.connect();
  peer.sendHead("PUT", FILE, { "Content-Length": MIB }).send(body.subarray(0, MIB));
  peer.sendHead("DELETE", "/v2/images/victim", {});
  expect((await peer.response()).status).toBe(204);
  expect(await peer.closed()).toBe("fin");
  await scene.roundTrip();
  expect(scene.upstream.requests.filter(({ method }) => method === "DELETE")).toEqual([]);
});
