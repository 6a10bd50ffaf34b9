/**
 * A connection to Glance whose answer is read into reused memory. Node's HTTP client reads the answer's head from it, and nothing else.
 * Uses public interfaces only: the `onread` option of `net` and `tls`, and HTTP requests over any `Duplex`.
 */
import type { IncomingMessage } from "node:http";
import type { OnReadOpts, Socket } from "node:net";
import { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import { readAnnouncedBody } from "../http/announced-body.js";
import { createRequestHead } from "../http/request-head.js";
import { type BodyFraming, ChunkedFraming, LengthFraming } from "./body-framing.js";
import { BufferPool } from "./buffer-pool.js";
import { createFlowingPools, type ReadMemory } from "./held-buffers.js";
import { type AnswerSource, RawAnswer } from "./raw-answer.js";

const HEAD_READ_BYTES = 64 * 1024;
/** Usual buffer size. A client that reads slowly holds one buffer. */
const READ_BYTES = 256 * 1024;
/** Maximum number of unused buffers that are kept. */
const MOST_IDLE = 16;

export interface AnswerMemory extends ReadMemory {
  /** Heads are read into it; shared by all connections. */
  readonly heads: Buffer;
}

export function createAnswerMemory(): AnswerMemory {
  return {
    heads: Buffer.allocUnsafeSlow(HEAD_READ_BYTES),
    usual: new BufferPool(READ_BYTES, MOST_IDLE),
    flowing: createFlowingPools(),
  };
}

const HEAD_END = "\r\n\r\n";

/** Pass {@link onread} to the function that opens the connection, and the connection to {@link attach}. */
export class AnswerConnection extends Duplex {
  readonly onread: OnReadOpts = {
    buffer: () => this.#answer?.nextRoom() ?? this.#memory.heads,
    callback: (bytes) => (this.#answer ? this.#answer.onRead(bytes) : this.#onHead(bytes)),
  };

  readonly #memory: AnswerMemory;
  #connection: Socket | undefined;
  #answer: RawAnswer | undefined;
  /** The last bytes of the head so far: its end may be in two reads. */
  #tail = "";
  /** Set while Node's parser reads the last byte of a head: the answer can be claimed. */
  #isOffered = false;
  /** The answer was not claimed, so Node reads its body. */
  #isLeftToNode = false;

  constructor(memory: AnswerMemory) {
    super();
    this.#memory = memory;
  }

  attach(connection: Socket): this {
    this.#connection = connection;
    connection.once("error", (error) => this.destroy(error));
    connection.once("close", () => this.destroy());
    connection.once("end", () => {
      if (this.#answer) this.#answer.onFin();
      else this.push(null);
    });
    return this;
  }

  /**
   * Takes the body over from Node. Must be called while `response` is emitted.
   * @returns undefined if Node must read the body.
   */
  claim(answer: IncomingMessage): RawAnswer | undefined {
    const framing = framingOf(answer);
    this.#isLeftToNode = !this.#isOffered || framing === "invalid";
    if (this.#isLeftToNode || framing === "invalid") return undefined;
    answer.on("error", () => undefined); // Node misses the body
    this.#answer = new RawAnswer({
      head: answer,
      source: new ConnectionSource(this, this.#connection),
      framing: framing === "until close" ? undefined : framing,
      memory: this.#memory,
      encrypted: this.#connection instanceof TLSSocket,
    });
    return this.#answer;
  }

  override _read(): void {
    if (!this.#answer) this.#connection?.resume();
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#connection?.write(chunk, encoding, callback);
  }

  override _final(callback: () => void): void {
    this.#connection?.end(callback);
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#connection?.destroy();
    callback(error);
  }

  /** @returns whether to read on. */
  #onHead(read: number): boolean {
    let bytes = this.#memory.heads.subarray(0, read);
    while (!this.#isLeftToNode) {
      const end = this.#findHeadEnd(bytes);
      if (end === undefined) break;
      // The answer is emitted with the last byte of its head, so the body follows directly.
      this.#pass(bytes.subarray(0, end - 1));
      this.#isOffered = true;
      this.#pass(bytes.subarray(end - 1, end));
      this.#isOffered = false;
      bytes = bytes.subarray(end);
      if (this.#answer) return this.#answer.begin(bytes);
    }
    return this.#pass(bytes);
  }

  /** @returns where the bytes after a head begin. */
  #findHeadEnd(bytes: Buffer): number | undefined {
    const before = this.#tail;
    const text = before + bytes.toString("latin1");
    const at = text.indexOf(HEAD_END);
    this.#tail = at === -1 ? text.slice(1 - HEAD_END.length) : "";
    return at === -1 ? undefined : at + HEAD_END.length - before.length;
  }

  /** Copied, because the memory is shared. @returns whether to read on. */
  #pass(bytes: Buffer): boolean {
    return bytes.length === 0 || this.push(Buffer.from(bytes));
  }
}

/**
 * A class, because V8 keeps the accessors of an object literal, and all that they refer to, until a full garbage collection. Measured:
 * each download stayed in memory for so long.
 */
class ConnectionSource implements AnswerSource {
  readonly #answers: AnswerConnection;
  readonly #connection: Socket | undefined;

  constructor(answers: AnswerConnection, connection: Socket | undefined) {
    this.#answers = answers;
    this.#connection = connection;
  }

  get destroyed(): boolean {
    return this.#answers.destroyed;
  }

  pause(): void {
    this.#connection?.pause();
  }

  resume(): void {
    this.#connection?.resume();
  }

  destroy(error?: Error): void {
    this.#answers.destroy(error);
  }

  once(event: "close", listener: () => void): void {
    this.#answers.once(event, listener);
  }
}

/** RFC 9112, section 6.3. */
function framingOf({ statusCode, rawHeaders }: IncomingMessage): BodyFraming | "until close" | "invalid" {
  if (statusCode === 204 || statusCode === 304) return new LengthFraming(0);
  const announced = readAnnouncedBody(createRequestHead(rawHeaders));
  switch (announced.kind) {
    case "length":
      return new LengthFraming(announced.bytes);
    case "chunked":
      return new ChunkedFraming();
    case "none":
      return "until close";
    case "invalid":
      return "invalid";
  }
}
