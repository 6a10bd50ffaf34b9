/**
 * Takes the bodies of uploads over from Node's parser. The parser reads the head; the body never reaches it. The connection stays the
 * server's in all else: its errors, its end, the answer on it. It is not used again after that answer.
 *
 * This relies on what Node does not promise: a server's parser reads a connection through its one `data` listener, once something
 * else has listened to `data`. `self-check.ts` tries that out at the start.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { readAnnouncedBody, type AnnouncedBody } from "../http/announced-body.js";
import type { Body } from "../http/body.js";
import { createRequestHead, splitHead } from "../http/request-head.js";
import { ChunkedFraming, LengthFraming, type BodyFraming } from "./body-framing.js";
import { BufferPool } from "./buffer-pool.js";
import { RawBody } from "./raw-body.js";
import { findReadInto } from "./read-into.js";

/** It holds what a client has sent while Glance does not read, so 200 of them have to fit. */
export const READ_BYTES = 512 * 1024;
/** Of what is kept, each read is copied, as soon as it fits into the memory of its spool. */
export const KEEP_READ_BYTES = 256 * 1024;
/** For bodies that flow: fewer turns. Of several at once a byte costs no less beyond the one size, of one alone beyond the other. */
const LARGE_READ_BYTES = 2 * 1024 * 1024;
const LARGEST_READ_BYTES = 4 * 1024 * 1024;
/** So many bodies at once are read into large buffers; they are for few fast clients, not for hundreds of slow ones. */
const MOST_LARGE = 16;
const MOST_LARGEST = 1;
const DISCARD_BYTES = 64 * 1024;
/** So many buffers wait for the next body. */
const MOST_IDLE = 16;
const MOST_IDLE_LARGE = 2;

/**
 * Takes the body of a request over; at once, while its event is being emitted, or never.
 * @param purpose a body that is kept comes in pieces that fit into the memory of its spool.
 * @returns undefined where it has to be read as usual.
 */
export type ClaimBody = (exchange: ClaimedExchange, purpose: "keep" | "send") => Body | undefined;

export interface ClaimedExchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly announced: AnnouncedBody;
}

/** From how many bytes on a body is worth taking over, by `upload.relay`: its connection cannot be used again. */
export function leastRawBytes(relay: "auto" | "raw" | "stream"): number {
  return relay === "raw" ? 0 : 1024 * 1024;
}

/**
 * @param leastBytes a body of a shorter `Content-Length` is left to the parser from the beginning.
 * @throws Error where this Node has no such thing.
 */
export function createRawBodies(server: Server, leastBytes: number): ClaimBody {
  const readInto = findReadInto();
  const discard = Buffer.allocUnsafeSlow(DISCARD_BYTES);
  const memories = {
    keep: { discard, usual: new BufferPool(KEEP_READ_BYTES, MOST_IDLE), flowing: [] },
    send: {
      discard,
      usual: new BufferPool(READ_BYTES, MOST_IDLE),
      flowing: [
        new BufferPool(LARGEST_READ_BYTES, MOST_LARGEST, MOST_LARGEST),
        new BufferPool(LARGE_READ_BYTES, MOST_IDLE_LARGE, MOST_LARGE),
      ],
    },
  };
  /** The request whose head has just ended, with what came behind it. */
  let offer: { readonly socket: Socket; readonly rest: Buffer; body?: RawBody } | undefined;

  server.on("connection", (socket: Socket) => {
    const [parse, ...others] = socket.listeners("data");
    if (parse === undefined || others.length > 0) return;
    const parsed = (bytes: Buffer): boolean => {
      if (bytes.length > 0) parse.call(socket, bytes);
      return socket.writable && !socket.isPaused(); // neither refused nor made to wait
    };
    socket.off("data", parse as () => void);
    socket.on("data", (bytes: Buffer) => {
      const head = headBytes(bytes);
      if (head === 0 || lengthIn(bytes.subarray(0, head)) < leastBytes) return void parsed(bytes);
      // Only a request that begins with the very last byte of an empty line has its body right behind it.
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

/** @returns how many bytes the head of an upload takes, where one begins and ends here; else 0. */
function headBytes(bytes: Buffer): number {
  if (bytes.length < PUT.length || bytes.compare(PUT, 0, PUT.length, 0, PUT.length) !== 0) return 0;
  const end = bytes.indexOf(HEAD_END);
  return end === -1 ? 0 : end + HEAD_END.length;
}

/** @returns what such a head says of its body; as far as this can see, it may be large. */
function lengthIn(head: Buffer): number {
  const announced = readAnnouncedBody(createRequestHead(splitHead(head.toString("latin1"))));
  return announced.kind === "length" ? announced.bytes : Number.POSITIVE_INFINITY;
}

/** For a connection whose parser has to wait: it comes again when the connection goes on. One that was refused is not read. */
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
