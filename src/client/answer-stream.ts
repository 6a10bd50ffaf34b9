/** Streams Glance's answers to clients. */
import { type IncomingMessage, ServerResponse } from "node:http";
import { TLSSocket } from "node:tls";
import { createTimer } from "../http/timer.js";
import { type Patience, Turns } from "../http/turns.js";
import type { Waits } from "../http/waits.js";
import type { AnswerHead } from "../raw-io/raw-answer.js";
import { collectBody } from "../upstream/small-answer.js";
import { type ProxyError, toProxyError } from "../vocabulary/errors.js";

/** How an answer ended: complete, cut off by Glance, or abandoned by the client. */
export type RelayedAnswer = "whole" | "truncated" | "abandoned";

/** An answer of Glance: Node's `IncomingMessage`, or a `RawAnswer`. */
export interface GlanceAnswer extends AnswerHead {
  readonly readableEnded: boolean;
  readonly destroyed: boolean;
  /** Set if the memory of a piece is reused after `resume`. */
  readonly reusesMemory?: true;
  on(event: "data", listener: (piece: Buffer) => void): this;
  on(event: "error", listener: () => void): this;
  once(event: "end" | "close", listener: () => void): this;
  off(event: "data", listener: (piece: Buffer) => void): this;
  off(event: "end" | "close", listener: () => void): this;
  pause(): unknown;
  resume(): unknown;
  destroy(): unknown;
}

export interface StreamOptions {
  readonly answer: GlanceAnswer;
  readonly response: ServerResponse;
  /** Called once: with the first bytes of the body, or at the end of the tick. */
  readonly writeHead: () => void;
  readonly patience: Patience;
  readonly waits?: Waits | undefined;
}

/** Rejects with a ProxyError if the head cannot be written. */
export function streamAnswer(options: StreamOptions): Promise<RelayedAnswer> {
  return new Promise((resolve, reject) => void new AnswerStream(options, resolve, reject));
}

/**
 * Applies back-pressure in both directions. If Glance's answer is cut off, so is the client's; if the client has received nothing yet,
 * the caller can still answer. Does not end the response. Not `stream.pipeline`, which took 5 % of a small request's time.
 */
class AnswerStream {
  readonly #answer: GlanceAnswer;
  readonly #response: ServerResponse;
  readonly #writeHead: () => void;
  readonly #turns: Turns;
  readonly #headAlone: NodeJS.Immediate;
  readonly #resolve: (relayed: RelayedAnswer) => void;
  readonly #reject: (error: ProxyError) => void;
  #hasBegun = false;
  #isSettled = false;
  /** Node's timer of the connection runs. */
  #isTimed = false;
  /** Pieces in reused memory that the kernel has not accepted yet. */
  #unwritten = 0;

  constructor(
    { answer, response, writeHead, patience, waits }: StreamOptions,
    resolve: (relayed: RelayedAnswer) => void,
    reject: (error: ProxyError) => void,
  ) {
    this.#answer = answer;
    this.#response = response;
    this.#writeHead = writeHead;
    this.#resolve = resolve;
    this.#reject = reject;
    const listener = {
      onClientIdle: () => this.#onClientIdle(patience.idleMs),
      onGlanceSilent: () => answer.destroy(),
    };
    this.#turns = new Turns(patience, listener, waits);
    this.#headAlone = setImmediate(() => {
      if (this.#begin()) response.flushHeaders();
    });
    answer.on("error", () => undefined); // `close` follows
    answer.on("data", this.#onPiece).once("end", this.#onEnd).once("close", this.#onAnswerClose);
    response.on("drain", this.#onDrain).once("close", this.#onResponseClose);
    this.#turns.awaitGlance();
    if (response.destroyed) this.#settle("abandoned");
    else if (answer.destroyed && !answer.readableEnded) this.#settle("truncated");
    else answer.resume();
  }

  /** A slow client may take longer for a large piece. Node's timer of the connection also sees that a part of it was accepted. */
  #onClientIdle(idleMs: number): void {
    this.#isTimed = true;
    this.#response.setTimeout(idleMs, () => cutOff(this.#response));
  }

  #stopTimer(): void {
    if (this.#isTimed) this.#response.setTimeout(0);
    this.#isTimed = false;
  }

  /** @returns whether the head is written. */
  #begin(): boolean {
    if (this.#hasBegun) return true;
    clearImmediate(this.#headAlone);
    try {
      this.#writeHead();
      this.#hasBegun = true;
    } catch (error) {
      this.#reject(toProxyError(error));
      this.#settle("truncated");
    }
    return this.#hasBegun;
  }

  #settle(relayed: RelayedAnswer): void {
    this.#isSettled = true;
    clearImmediate(this.#headAlone);
    this.#turns.stop();
    this.#stopTimer();
    const answer = this.#answer;
    const response = this.#response;
    answer.off("data", this.#onPiece).off("end", this.#onEnd).off("close", this.#onAnswerClose);
    response.off("drain", this.#onDrain).off("close", this.#onResponseClose);
    if (relayed !== "whole") {
      answer.destroy();
      if (this.#hasBegun) cutOff(response);
    }
    this.#resolve(relayed);
  }

  readonly #onPiece = (piece: Buffer): void => {
    if (!this.#begin()) return;
    const reused = this.#answer.reusesMemory === true;
    if (reused && this.#tellsWhenWritten) {
      this.#unwritten += 1;
      this.#response.write(piece, this.#onWritten);
    } else if (this.#response.write(reused ? Buffer.from(piece) : piece)) return this.#turns.awaitGlance();
    this.#answer.pause();
    this.#turns.awaitClient();
  };

  /** Middleware that wraps `write` may drop its callback, and keep the data (compression). */
  get #tellsWhenWritten(): boolean {
    return this.#response.write === ServerResponse.prototype.write;
  }

  readonly #onWritten = (error?: Error | null): void => {
    this.#unwritten -= 1;
    if (!error && !this.#isSettled) this.#onDrain();
  };

  readonly #onDrain = (): void => {
    if (this.#unwritten > 0) return;
    this.#stopTimer();
    this.#turns.awaitGlance();
    this.#answer.resume();
  };

  readonly #onEnd = (): void => {
    if (this.#begin()) this.#settle("whole");
  };

  readonly #onAnswerClose = (): void => this.#settle("truncated");
  readonly #onResponseClose = (): void => this.#settle("abandoned");
}

/** A client of HTTP/1.0 takes every orderly close for the end of an answer without a length. */
function cutOff(response: ServerResponse): void {
  const { req, socket } = response;
  const isPlainTcp = socket?.localPort !== undefined && !(socket instanceof TLSSocket);
  if (req.httpVersion === "1.0" && isPlainTcp) socket.resetAndDestroy();
  response.destroy();
}

/** @returns undefined if the answer is cut off, does not end or is too long. */
export async function collectAnswer(answer: IncomingMessage, silenceMs: number): Promise<Buffer | undefined> {
  const silence = createTimer(silenceMs, () => answer.destroy());
  silence.start();
  answer.on("data", () => silence.start());
  const collected = await collectBody(answer);
  silence.stop();
  return collected.kind === "body" && collected.isWhole ? collected.body : undefined;
}
