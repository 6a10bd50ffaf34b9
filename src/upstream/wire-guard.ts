/**
 * Second protection against request smuggling. Parses everything that Node and http-proxy write to a connection to Glance: exactly one
 * request, with exactly the body that its head announces. If a byte is written beyond that, it is not sent, and the connection is
 * destroyed.
 */
import type { Duplex } from "node:stream";
import { readAnnouncedBody } from "../http/announced-body.js";
import { readHead } from "../http/request-head.js";
import { BadFraming, type BodyFraming, ChunkedFraming, LengthFraming } from "../raw-io/body-framing.js";
import { interceptWrites } from "./intercept-writes.js";

/** A byte was written to Glance that the request head does not announce. */
export class UnannouncedBytes extends Error {
  readonly code = "GLANCE_REQUEST_FRAMING";
}

/** Larger than `limits.maxHeaderSize` allows, with the lines that the proxy adds. */
const MAX_HEAD_BYTES = 16 * 1024 * 1024;

const HEAD_END = "\r\n\r\n";

/** RFC 9112, sections 3 and 5: the forms that all servers read alike. The head comes without its empty line. */
const HEAD =
  /^[\w!#$%&'*+.^`|~-]+ [\x21-\x7e\x80-\xff]+ HTTP\/1\.1(?:\r\n[\w!#$%&'*+.^`|~-]+:[\t\x20-\x7e\x80-\xff]*)*$/;

/** The lines that are checked, in a head of the form above. */
const CHECKED_LINES = /\r\n(?:host|content-length|transfer-encoding):[^\r]*/gi;

/** Parses what is written to one connection. Pure. */
export class OutgoingRequest {
  /** Set until the head is complete. */
  #head: string | undefined = "";
  #body: BodyFraming | undefined;

  /** @throws UnannouncedBytes if these bytes must not be sent. */
  check(chunk: Buffer | string, encoding: BufferEncoding): void {
    if (this.#body !== undefined) return this.#readBody(this.#body, bytesOf(chunk, encoding));
    // Node writes a head as a Latin-1 string. A head with other characters is refused.
    const isText = typeof chunk === "string" && encoding === "latin1";
    this.#readHead(isText ? chunk : bytesOf(chunk, encoding).toString("latin1"));
  }

  #readHead(text: string): void {
    const before = this.#head ?? "";
    const head = before + text;
    const end = head.indexOf(HEAD_END, Math.max(0, before.length - HEAD_END.length));
    if (end === -1) {
      if (head.length > MAX_HEAD_BYTES) throw new UnannouncedBytes("the request head has no end");
      this.#head = head;
      return;
    }
    this.#head = undefined;
    this.#body = framingOf(head.slice(0, end));
    this.#readBody(this.#body, Buffer.from(head.slice(end + HEAD_END.length), "latin1"));
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

function bytesOf(chunk: Buffer | string, encoding: BufferEncoding): Buffer {
  return typeof chunk === "string" ? Buffer.from(chunk, encoding) : chunk;
}

function framingOf(head: string): BodyFraming {
  if (!HEAD.test(head)) {
    throw new UnannouncedBytes("the request head has a line that not all servers would read alike");
  }
  const request = readHead((head.match(CHECKED_LINES) ?? []).join(""));
  if (request.values("host").length !== 1) throw new UnannouncedBytes("the request head has not one host");
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

/** Guards a connection that carries one request. */
export function guardWire<Connection extends Duplex>(connection: Connection): Connection {
  const request = new OutgoingRequest();
  return interceptWrites(connection, { check: (_, chunk, encoding) => request.check(chunk, encoding) });
}
