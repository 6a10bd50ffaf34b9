/**
 * Takes the bodies of uploads over from Node's parser. The parser reads the head, but not the body. The server still handles errors, end
 * and answer of the connection. The connection is not reused after the answer.
 *
 * This relies on a private property of Node: if something else has listened to `data`, a server's parser reads a connection through its
 * one `data` listener. `self-check.ts` tests that at the start.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { Server as HttpsServer } from "node:https";
import type { Socket } from "node:net";
import { type AnnouncedBody, seemsShorter } from "../http/announced-body.js";
import type { Body } from "../http/body.js";
import { type BodyFraming, ChunkedFraming, LengthFraming } from "./body-framing.js";
import { BufferPool } from "./buffer-pool.js";
import { createFlowingPools } from "./held-buffers.js";
import { RawBody } from "./raw-body.js";
import { findReadInto } from "./read-into.js";

/** Usual buffer size. A stalled upload holds one buffer, so 200 of them must fit into memory. */
export const READ_BYTES = 512 * 1024;
/** Buffer size of spooled bodies: each read is copied into the memory of the spool. */
export const KEEP_READ_BYTES = 256 * 1024;
const DISCARD_BYTES = 64 * 1024;
/** Maximum number of unused buffers that are kept. */
const MOST_IDLE = 16;

/**
 * Takes the body of a request over. Must be called while the event of the request is emitted.
 * @param purpose `keep`: the pieces fit into the memory of the spool.
 * @returns undefined if Node must read the body.
 */
export type ClaimBody = (exchange: ClaimedExchange, purpose: "keep" | "send") => Body | undefined;

export interface ClaimedExchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly announced: AnnouncedBody;
}

/** Minimum size of bodies that are taken over, by `upload.relay`. Below 1 MiB it does not pay: the connection cannot be reused. */
export function leastRawBytes(relay: "auto" | "raw" | "stream"): number {
  return relay === "raw" ? 0 : 1024 * 1024;
}

/**
 * @param leastBytes bodies with a smaller `Content-Length` are left to Node.
 * @throws Error if this Node does not support it.
 */
export function createRawBodies(server: Server, leastBytes: number): ClaimBody {
  const readInto = findReadInto();
  const discard = Buffer.allocUnsafeSlow(DISCARD_BYTES);
  const memories = {
    keep: { discard, usual: new BufferPool(KEEP_READ_BYTES, MOST_IDLE), flowing: [] },
    send: { discard, usual: new BufferPool(READ_BYTES, MOST_IDLE), flowing: createFlowingPools() },
  };
  /** The request whose head has just ended, with the bytes that follow. */
  let offer: { readonly socket: Socket; readonly rest: Buffer; body?: RawBody } | undefined;

  // Under TLS, requests arrive on another object than the connection.
  server.on(server instanceof HttpsServer ? "secureConnection" : "connection", (socket: Socket) => {
    const [parse, ...others] = socket.listeners("data");
    if (parse === undefined || others.length > 0) return;
    const parsed = (bytes: Buffer): boolean => {
      if (bytes.length > 0) parse.call(socket, bytes);
      return socket.writable && !socket.isPaused(); // false if the request was refused or must wait
    };
    socket.off("data", parse as () => void);
    socket.on("data", (bytes: Buffer) => {
      const head = headBytes(bytes);
      if (head === 0 || seemsShorter(bytes.toString("latin1", 0, head), leastBytes))
        return void parsed(bytes);
      // The request is emitted with the last byte of the head, so the body follows directly.
      if (!parsed(bytes.subarray(0, head - 1))) return unread(socket, bytes.subarray(head - 1));
      const rest = bytes.subarray(head);
      offer = { socket, rest };
      const goesOn = parsed(bytes.subarray(head - 1, head));
      const taken = offer.body !== undefined;
      offer = undefined;
      if (taken || rest.length === 0) return;
      if (goesOn) parsed(rest);
      else unread(socket, rest);
    });
  });

  return ({ request, response, announced }, purpose) => {
    if (offer === undefined || offer.socket !== request.socket || offer.body) return undefined;
    const { socket, rest } = offer;
    const framing = framingOf(announced);
    if (framing === undefined || framing.ended || socket.isPaused()) return undefined;
    response.shouldKeepAlive = false;
    offer.body = new RawBody(request, framing, rest, memories[purpose], readInto);
    return offer.body;
  };
}

const PUT = Buffer.from("PUT ");
const HEAD_END = Buffer.from("\r\n\r\n");

/** @returns the size of the head if these bytes contain the complete head of a PUT; otherwise 0. */
function headBytes(bytes: Buffer): number {
  if (bytes.length < PUT.length || bytes.compare(PUT, 0, PUT.length, 0, PUT.length) !== 0) return 0;
  const end = bytes.indexOf(HEAD_END);
  return end === -1 ? 0 : end + HEAD_END.length;
}

/** Puts bytes back for a parser that is paused. After a refusal they are dropped. */
function unread(socket: Socket, bytes: Buffer): void {
  if (socket.writable) socket.unshift(bytes);
}

function framingOf(announced: AnnouncedBody): BodyFraming | undefined {
  switch (announced.kind) {
    case "length":
      return new LengthFraming(announced.bytes);
    case "chunked":
      return new ChunkedFraming();
    case "none":
    case "invalid":
      return undefined;
  }
}
