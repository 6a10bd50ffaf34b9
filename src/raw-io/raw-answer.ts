/**
 * The body of an answer, read from the connection into one reused buffer. Node would allocate a buffer for every 64 KiB, and its parser
 * would copy the bytes.
 */
import { EventEmitter } from "node:events";
import type { BodyFraming } from "./body-framing.js";
import type { ReadMemory } from "./held-buffers.js";
import { readJoined } from "./joined-pieces.js";
import { ReusedReads } from "./reused-reads.js";

/** The head of an answer, as Node's parser has read it. */
export interface AnswerHead {
  readonly statusCode?: number | undefined;
  readonly statusMessage?: string | undefined;
  readonly httpVersion: string;
  readonly rawHeaders: string[];
}

/** The connection that the answer is read from. */
export interface AnswerSource {
  readonly destroyed: boolean;
  pause(): void;
  resume(): void;
  destroy(error?: Error): unknown;
  once(event: "close", listener: () => void): unknown;
}

/** Has a code like those of Node's parser, so that the failure is reported as `protocol`. */
class BadAnswer extends Error {
  readonly code = "HPE_INVALID_BODY";
}

export interface RawAnswerOptions {
  readonly head: AnswerHead;
  readonly source: AnswerSource;
  /** Absent if the body ends with the connection. */
  readonly framing: BodyFraming | undefined;
  readonly memory: ReadMemory;
  /** The connection uses TLS. */
  readonly encrypted: boolean;
}

/** Emits `data`, then `end` if the body is whole, otherwise `close`. Begins paused. */
export class RawAnswer extends EventEmitter implements AnswerHead {
  readonly statusCode: number | undefined;
  readonly statusMessage: string | undefined;
  readonly httpVersion: string;
  readonly rawHeaders: string[];
  /** The memory of a piece is reused at once, or after `resume` if the listener pauses the answer. */
  readonly reusesMemory = true;

  readonly #source: AnswerSource;
  readonly #framing: BodyFraming | undefined;
  readonly #reads: ReusedReads;
  /** Glance has closed its sending side, so a body without a length is whole. */
  #hasFin = false;
  #isClosed = false;
  #isGivenUp = false;
  #hasEnded = false;

  constructor({ head, source, framing, memory, encrypted }: RawAnswerOptions) {
    super();
    this.statusCode = head.statusCode;
    this.statusMessage = head.statusMessage;
    this.httpVersion = head.httpVersion;
    this.rawHeaders = head.rawHeaders;
    this.#source = source;
    this.#framing = framing;
    this.#reads = new ReusedReads(memory, encrypted, {
      take: (bytes) => this.#take(bytes),
      hold: () => source.pause(),
      drained: () => this.#onDrained(),
      overrun: () => this.destroy(new Error("the answer was read in spite of a pause")),
    });
    source.once("close", () => {
      this.#isClosed = true;
      if (this.#isGivenUp) this.emit("close");
      else this.#reads.check();
    });
  }

  get readableEnded(): boolean {
    return this.#hasEnded;
  }

  /** Nothing more is emitted but `close`. */
  get destroyed(): boolean {
    return this.#isGivenUp || (this.#source.destroyed && !this.#reads.hasUntaken && !this.#isWhole);
  }

  pause(): void {
    this.#reads.pause();
  }

  resume(): void {
    this.#reads.resume();
  }

  destroy(error?: Error): void {
    if (this.#hasEnded || this.#isGivenUp) return;
    this.#isGivenUp = true;
    this.#reads.stop();
    this.#reads.letGo(); // pieces may still be queued for the client
    if (this.#isClosed) this.emit("close");
    else this.#source.destroy(error);
  }

  /** @param bytes that were read together with the head. @returns whether to read on. */
  begin(bytes: Buffer): boolean {
    return this.#reads.put(bytes) && !this.#isGivenUp && !this.#hasEnded;
  }

  nextRoom(): Buffer {
    return this.#reads.nextRoom();
  }

  /** @returns whether to read on. */
  onRead(bytes: number): boolean {
    return this.#reads.onRead(bytes) && !this.#isGivenUp && !this.#hasEnded;
  }

  /** Glance has closed its sending side. */
  onFin(): void {
    this.#hasFin = true;
    this.#reads.check();
  }

  get #isWhole(): boolean {
    return this.#framing ? this.#framing.ended : this.#hasFin;
  }

  #take(bytes: Buffer): void {
    if (this.#framing?.ended) return; // dropped with the connection
    const emit = (piece: Buffer): void => void this.emit("data", piece);
    try {
      if (this.#framing) readJoined(this.#framing, bytes, emit);
      else emit(bytes);
    } catch {
      this.destroy(new BadAnswer("the body of the answer is malformed"));
    }
  }

  #onDrained(): void {
    if (this.#hasEnded || this.#isGivenUp) return;
    if (this.#isWhole) {
      this.#hasEnded = true;
      this.#reads.release();
      this.#source.destroy();
      this.emit("end");
    } else if (this.#isClosed) this.destroy();
    else this.#source.resume();
  }
}
