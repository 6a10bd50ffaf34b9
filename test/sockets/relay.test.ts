/** What of a body the kernel has, and what only Node has yet: when memory may be reused, and what an answer is worth. */
import { once } from "node:events";
import { type IncomingMessage, type OutgoingHttpHeaders, request } from "node:http";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Waits } from "../../src/http/waits.js";
import { relayBody } from "../../src/upload/relay.js";
import type { RelayEnd } from "../../src/upload/relay-plan.js";
import { OnePiece } from "../support/one-piece.js";
import { type RecordingUpstream, startRecordingUpstream } from "../support/recording-upstream.js";

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

function relay(
  source: OnePiece,
  declaredBytes: number,
  open = (headers: OutgoingHttpHeaders) =>
    request(`${upstream.url}/v2/images/one/file`, { method: "PUT", headers, agent: false }),
): Promise<RelayEnd> {
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
    waits: new Waits(),
    plan: {
      framing: "content-length",
      declaredBytes,
      maxBytes: Number.POSITIVE_INFINITY,
      clientWaits: false,
      idleMs: 60_000,
      silenceMs: 60_000,
    },
    open: () => open(headers),
    onContinue: () => undefined,
    untilBegun: () => Promise.resolve(false),
  });
}

it("a buffer is reused after Glance's connection has accepted all of it", async () => {
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

it("a buffer is never reused after a failed upload", async () => {
  const source = new OnePiece(body);
  expect(await relay(source, body.length + 1)).toMatchObject({ kind: "failed" });
  expect(source.stopReusing).toHaveBeenCalled();
  expect(source.release).not.toHaveBeenCalled();
});

it("the relay does not accept a success while part of the body has not been sent", async () => {
  const source = new OnePiece(body);
  const ended = once(source, "end");
  upstream.onUpload = (incoming, response) => {
    incoming.pause();
    response.writeContinue();
    void ended.then(() => response.writeHead(204).end());
  };
  const end = await relay(source, body.length);
  expect(end).toMatchObject({ kind: "failed", error: { code: "upstream_early_success" }, whole: false });
});

it("the relay sends nothing more after Glance has refused the body", async () => {
  const source = new OnePiece(body);
  const ended = once(source, "end");
  const received = new Promise<IncomingMessage>((resolve) => {
    upstream.onUpload = (incoming, response) => {
      resolve(incoming.pause());
      response.writeContinue();
      // Not by `response`, which would read the body.
      void ended.then(() => incoming.socket.write("HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n"));
    };
  });
  const end = await relay(source, body.length);
  if (end.kind !== "answered") throw new Error(end.error.message);
  expect(end.early).toBe(false);
  await once(end.answer.resume(), "close");
  const incoming = (await received).resume().on("error", () => undefined);
  await new Promise((resolve) => incoming.once("close", resolve));
  expect(incoming.complete).toBe(false);
});

it("the relay does not report a body as complete if the connection broke before it was flushed", async () => {
  const source = new OnePiece(body);
  const ended = once(source, "end");
  upstream.onUpload = (incoming, response) => {
    incoming.pause();
    response.writeContinue();
    void ended.then(() => incoming.socket.resetAndDestroy());
  };
  const end = await relay(source, body.length);
  expect(end).toMatchObject({ kind: "failed", begun: "yes", whole: false });
});

it.each([
  ["at once", body],
  ["in the next turn, for a small body", Buffer.from("hello")],
  ["at the end of an empty body", Buffer.alloc(0)],
])("an upload whose request to Glance cannot be opened fails as the proxy's fault: %s", async (_, bytes) => {
  const fault = new TypeError("Invalid character in header content");
  const end = await relay(new OnePiece(bytes), bytes.length, () => {
    throw fault;
  });
  expect(end).toMatchObject({ kind: "failed", begun: "no", whole: false });
  expect(end).toMatchObject({ error: { code: "internal", status: 500, cause: fault } });
  expect(upstream.requests).toEqual([]);
});
