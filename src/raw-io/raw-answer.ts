/**
 * The body of an answer, read from the connection into one reused buffer. Node would allocate a buffer for every 64 KiB, and its parser
 * would copy the bytes.
 */
import { EventEmitter } from "node:events";
import type { BodyFraming } from "./body-framing.js";
import { HeldBuffers, type ReadMemory } from "./held-buffers.js";
import { readJoined } from "./joined-pieces.js";

/** A TLS connection that is told to stop still emits what it has already received: at most this much. */
const AFTER_STOP_BYTES = 128 * 1024;

/** Maximum size of a TLS record's data. */
const RECORD_BYTES = 16 * 1024;

/** The head of an answer, as Node's parser has read it. */
export interface AnswerHead {
  readonly statusCode?: number | undefined;
  readonly statusMessage?: string | undefined;
  readonly httpVersion: string;
  readonly rawHeaders: string[];
}

/** Reads from the connection. */
export interface Reader {
  readonly destroyed: boolean;
  resume(): unknown;
  destroy(error?: Error): unknown;
  once(event: "close", listener: () => void): unknown;
}

/** Has a code like those of Node's parser, so that the failure is reported as `protocol`. */
class BadAnswer extends Error {
  readonly code = "HPE_INVALID_BODY";
}

export interface RawAnswerOptions {
  readonly head: AnswerHead;
  readonly reader: Reader;
  /** Absent if the body ends with the connection. */
  readonly framing: BodyFraming | undefined;
  readonly memory: ReadMemory;
  /** Under TLS, each read is a record of at most 16 KiB. Those of one turn of the event loop are joined. */
  readonly joinReads: boolean;
}

/** Emits `data`, then `end` if the body is whole, otherwise `close`. Begins paused. */
export class RawAnswer extends EventEmitter implements AnswerHead {
  readonly statusCode: number | undefined;
  readonly statusMessage: string | undefined;
  readonly httpVersion: string;
  readonly rawHeaders: string[];
  /** The memory of a piece is reused at once, or after `resume` if the listener pauses the answer. */
  readonly reusesMemory = true;

  readonly #reader: Reader;
  readonly #framing: BodyFraming | undefined;
  readonly #joinReads: boolean;
  readonly #held: HeldBuffers;
  /** The part of the buffer that is read but not emitted. What is before it may still be in use. */
  #start = 0;
  #end = 0;
  /** Where the next bytes are read to. Decided directly after the last read. */
  #room: Buffer;
  /** Copies of what a TLS connection has emitted in spite of a pause, or behind a full buffer. */
  #overflow: Buffer[] = [];
  #paused = true;
  /** Glance has closed its sending side, so a body without a length is whole. */
  #hasFin = false;
  #isClosed = false;
  #isGivenUp = false;
  #hasEnded = false;
  #isGoing = false;
  #due: NodeJS.Immediate | undefined;

  constructor({ head, reader, framing, memory, joinReads }: RawAnswerOptions) {
    super();
    this.statusCode = head.statusCode;
    this.statusMessage = head.statusMessage;
    this.httpVersion = head.httpVersion;
    this.rawHeaders = head.rawHeaders;
    this.#reader = reader;
    this.#framing = framing;
    this.#joinReads = joinReads;
    this.#held = new HeldBuffers(memory);
    this.#room = this.#held.current;
    reader.once("close", () => {
      this.#isClosed = true;
      if (this.#isGivenUp) this.emit("close");
      else this.#goOn();
    });
  }

  get readableEnded(): boolean {
    return this.#hasEnded;
  }

  /** Nothing more is emitted but `close`. */
  get destroyed(): boolean {
    return this.#isGivenUp || (this.#reader.destroyed && !this.#hasMore && !this.#isWhole);
  }

  get #hasMore(): boolean {
    return this.#start < this.#end || this.#overflow.length > 0;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#goOn();
  }

  destroy(error?: Error): void {
    if (this.#hasEnded || this.#isGivenUp) return;
    this.#isGivenUp = true;
    clearImmediate(this.#due);
    this.#held.letGo(); // pieces may still be queued for the client
    if (this.#isClosed) this.emit("close");
    else this.#reader.destroy(error);
  }

  /** @param bytes that were read together with the head. @returns whether to read on. */
  begin(bytes: Buffer): boolean {
    this.#end = bytes.copy(this.#held.current);
    this.#goOn();
    return !this.#paused && !this.destroyed && !this.#hasEnded;
  }

  /** @returns where to read to: call it directly before the first read and after each read. */
  nextRoom(): Buffer {
    if (!this.#joinReads)
      this.#room = this.#held.current; // nothing is read while the buffer is in use
    else if (this.#end < this.#held.current.length) this.#room = this.#held.current.subarray(this.#end);
    else this.#room = Buffer.allocUnsafe(RECORD_BYTES);
    return this.#room;
  }

  /** @param bytes read into the last {@link nextRoom}. @returns whether to read on. */
  onRead(bytes: number): boolean {
    const read = this.#room.subarray(0, bytes);
    const place = this.#held.current.subarray(this.#end);
    if (this.#paused && !this.#joinReads && this.#end > 0) {
      this.destroy(new Error("the answer was read in spite of a pause"));
    } else if ((this.#paused && this.#joinReads) || bytes > place.length || this.#overflow.length > 0) {
      this.#overflow.push(Buffer.from(read));
    } else {
      // Copies nothing if the bytes are at their place. The first ones after a pause are not.
      if (place.buffer !== read.buffer || place.byteOffset !== read.byteOffset) read.copy(place);
      this.#end += bytes;
    }
    if (!this.#joinReads) this.#goOn();
    else if (!this.#paused) this.#due ??= setImmediate(this.#onDue);
    const isFull = this.#joinReads && place.length < AFTER_STOP_BYTES;
    return !this.#paused && !isFull && !this.#isGivenUp && !this.#hasEnded;
  }

  /** Glance has closed its sending side. */
  onFin(): void {
    this.#hasFin = true;
    this.#goOn();
  }

  readonly #onDue = (): void => {
    this.#due = undefined;
    this.#goOn();
  };

  get #isWhole(): boolean {
    return this.#framing ? this.#framing.ended : this.#hasFin;
  }

  /** Does nothing if it is running: a listener may pause or resume the answer. */
  #goOn(): void {
    if (this.#isGoing) return;
    this.#isGoing = true;
    try {
      while (!this.#paused && !this.#isGivenUp && !this.#hasEnded && this.#step());
    } finally {
      this.#isGoing = false;
    }
  }

  /** @returns whether another step may follow now. */
  #step(): boolean {
    if (this.#start < this.#end) {
      const bytes = this.#held.current.subarray(this.#start, this.#end);
      this.#start = this.#end;
      if (this.#held.grow(bytes.length)) this.#start = this.#end = 0;
      this.#emitPieces(bytes);
      return true;
    }
    this.#start = this.#end = 0; // no piece is in use any more
    const overflow = this.#overflow.shift();
    if (overflow) this.#emitPieces(overflow);
    else if (this.#isWhole) this.#finish();
    else if (this.#isClosed) this.destroy();
    else this.#reader.resume();
    return overflow !== undefined;
  }

  #emitPieces(bytes: Buffer): void {
    const emit = (piece: Buffer): void => void this.emit("data", piece);
    try {
      if (this.#framing) readJoined(this.#framing, bytes, emit);
      else emit(bytes);
    } catch {
      this.destroy(new BadAnswer("the body of the answer is malformed"));
    }
  }

  #finish(): void {
    this.#hasEnded = true;
    this.#held.release();
    this.#reader.destroy();
    this.emit("end");
  }
}
