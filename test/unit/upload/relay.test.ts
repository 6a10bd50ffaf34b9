/** Memory that a body was read into, and when the relay lets it serve another. All else of the relay is seen end to end. */
import { once } from "node:events";
import { request } from "node:http";
import { afterEach, beforeEach, expect, test } from "vitest";
import { relayBody, type RelayEnd } from "../../../src/upload/relay.js";
import { OnePiece } from "../../support/one-piece.js";
import { startRecordingUpstream, type RecordingUpstream } from "../../support/recording-upstream.js";

/** More than a connection holds. */
const body = Buffer.alloc(32 * 1024 * 1024, "b");

let upstream: RecordingUpstream;
/** Once Glance has begun: it reads only when this is called. */
let glanceReads: Promise<() => void>;
beforeEach(async () => {
  upstream = await startRecordingUpstream();
  glanceReads = new Promise((resolve) => {
    upstream.onUpload = (incoming, response) => {
      incoming.pause();
      incoming.once("end", () => response.writeHead(204).end());
      response.writeContinue();
      resolve(() => void incoming.resume());
    };
  });
});
afterEach(() => upstream.stop());

function relay(source: OnePiece, declaredBytes: number): Promise<RelayEnd> {
  const counter = {
    receivedBytes: 0,
    received(bytes: number) {
      counter.receivedBytes += bytes;
    },
    forwarded: () => undefined,
    discardFrom: () => undefined,
  };
  const headers = { "content-length": declaredBytes, expect: "100-continue" };
  return relayBody({
    source,
    counter,
    plan: {
      framing: "content-length",
      declaredBytes,
      maxBytes: Number.POSITIVE_INFINITY,
      clientWaits: false,
      idleMs: 60_000,
      silenceMs: 60_000,
    },
    open: () => request(`${upstream.url}/v2/images/one/file`, { method: "PUT", headers, agent: false }),
    onContinue: () => undefined,
    untilBegun: () => Promise.resolve(false),
  });
}

test("it serves another when Glance's connection has taken all of it", async () => {
  const source = new OnePiece(body);
  const ended = once(source, "end");
  const end = relay(source, body.length);
  const read = await glanceReads;
  await ended;
  await new Promise(setImmediate);
  expect(source.release).not.toHaveBeenCalled();
  read();
  expect(await end).toMatchObject({ kind: "answered", early: false });
  expect(source.release).toHaveBeenCalledOnce();
});

test("it never does after an upload that failed", async () => {
  const source = new OnePiece(body);
  expect(await relay(source, body.length + 1)).toMatchObject({ kind: "failed" });
  expect(source.renew).toHaveBeenCalled();
  expect(source.release).not.toHaveBeenCalled();
});
