/**
 * The second wall against request smuggling. What is written to a connection to Glance is read once more, here, behind Node's HTTP
 * and http-proxy: one request, and behind its head the body that this head announces. A byte beyond that never goes out, whoever
 * wrote it, and the connection is destroyed.
 */
import type { Duplex } from "node:stream";
import { readAnnouncedBody } from "./announced-body.js";
import { BadFraming, ChunkedFraming, LengthFraming, type BodyFraming } from "./body-framing.js";
import { createRequestHead, splitHead } from "./request-head.js";

/** A byte was written to Glance that the head before it does not announce. */
export class UnannouncedBytes extends Error {
  readonly code = "GLANCE_REQUEST_FRAMING";
}

/** A head of ours is what a client may send, and the lines that the proxy adds. */
const MAX_HEAD_BYTES = 16 * 1024 * 1024;

const HEAD_END = "\r\n\r\n";

/** Reads what is written to one connection. Pure. */
export class OutgoingRequest {
  /** Until its end has come. */
  #head: string | undefined = "";
  #body: BodyFraming | undefined;

  /** @throws UnannouncedBytes, before any of these bytes may go out. */
  check(chunk: Buffer | string, encoding: BufferEncoding): void {
    const bytes = typeof chunk === "string" ? Buffer.from(chunk, encoding) : chunk;
    if (this.#body === undefined) this.#readHead(bytes);
    else this.#readBody(this.#body, bytes);
  }

  #readHead(bytes: Buffer): void {
    const before = this.#head ?? "";
    const head = before + bytes.toString("latin1");
    const end = head.indexOf(HEAD_END, Math.max(0, before.length - HEAD_END.length));
    if (end === -1) {
      if (head.length > MAX_HEAD_BYTES) throw new UnannouncedBytes("the request head has no end");
      this.#head = head;
      return;
    }
    this.#head = undefined;
    this.#body = framingOf(head.slice(0, end));
    this.#readBody(this.#body, bytes.subarray(end + HEAD_END.length - before.length));
  }

  #readBody(body: BodyFraming, bytes: Buffer): void {
    let read: number;
    try {
      read = body.read(bytes, () => undefined);
    } catch (cause) {
      if (!(cause instanceof BadFraming)) throw cause;
      throw new UnannouncedBytes(`the request body is not framed as announced: ${cause.message}`);
    }
    if (read < bytes.length) {
      throw new UnannouncedBytes(`${bytes.length - read} bytes behind the end of the request`);
    }
  }
}

function framingOf(head: string): BodyFraming {
  const request = createRequestHead(splitHead(head));
  const announced = readAnnouncedBody(request);
  switch (announced.kind) {
    case "none":
      return new LengthFraming(0);
    case "length":
      return new LengthFraming(announced.bytes);
    case "chunked":
      if (request.values("content-length").length > 0) break;
      if (request.values("transfer-encoding").join() !== "chunked") break;
      return new ChunkedFraming();
    case "invalid":
      break;
  }
  throw new UnannouncedBytes("the request head announces no body that all servers would read alike");
}

type Callback = (error?: Error | null) => void;

/** What Node's streams call, and their users never. */
interface Writes {
  _write(chunk: Buffer | string, encoding: BufferEncoding, callback: Callback): void;
  _writev?: ((chunks: readonly Piece[], callback: Callback) => void) | null;
}

interface Piece {
  readonly chunk: Buffer | string;
  readonly encoding: BufferEncoding;
}

/** Has all that is written to a connection checked. For one request on a connection. */
export function guardWire<Connection extends Duplex>(connection: Connection): Connection {
  const request = new OutgoingRequest();
  const writes = connection as unknown as Writes;
  const write = writes._write.bind(connection);
  const writeMany = writes._writev?.bind(connection);
  writes._write = (chunk, encoding, callback) => {
    try {
      request.check(chunk, encoding);
    } catch (error) {
      return callback(error as Error); // which destroys the connection
    }
    write(chunk, encoding, callback);
  };
  if (writeMany) {
    writes._writev = (pieces, callback) => {
      try {
        for (const { chunk, encoding } of pieces) request.check(chunk, encoding);
      } catch (error) {
        return callback(error as Error);
      }
      writeMany(pieces, callback);
    };
  }
  return connection;
}
