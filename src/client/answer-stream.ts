/** An answer of Glance on its way to the client. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createTimer } from "../http/timer.js";
import { Turns, type Patience } from "../http/turns.js";
import { toProxyError, type ProxyError } from "../vocabulary/errors.js";

/** How Glance's answer ended: whole, cut off by Glance, or left by the client. */
export type RelayedAnswer = "whole" | "truncated" | "abandoned";

export interface StreamOptions {
  readonly answer: IncomingMessage;
  readonly response: ServerResponse;
  /** Called once, when there is something of the body to go with it, or else a moment later. */
  readonly writeHead: () => void;
  readonly patience: Patience;
}

/** Rejects with a ProxyError if the head cannot be written. */
export function streamAnswer(options: StreamOptions): Promise<RelayedAnswer> {
  return new Promise((resolve, reject) => void new AnswerStream(options, resolve, reject));
}

/**
 * Back-pressure on both sides; an answer cut short leaves the client's cut short as well, or, with nothing of it out, unanswered. Does
 * not end the response. By hand: `pipeline` costs a twentieth of a small request.
 */
class AnswerStream {
  readonly #answer: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #writeHead: () => void;
  readonly #turns: Turns;
  readonly #headAlone: NodeJS.Immediate;
  readonly #resolve: (relayed: RelayedAnswer) => void;
  readonly #reject: (error: ProxyError) => void;
  #hasBegun = false;

  constructor(
    { answer, response, writeHead, patience }: StreamOptions,
    resolve: (relayed: RelayedAnswer) => void,
    reject: (error: ProxyError) => void,
  ) {
    this.#answer = answer;
    this.#response = response;
    this.#writeHead = writeHead;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#turns = new Turns({
      ...patience,
      onClientIdle: () => response.destroy(),
      onGlanceSilent: () => answer.destroy(),
    });
    this.#headAlone = setImmediate(() => {
      if (this.#begin()) response.flushHeaders();
    });
    answer.on("error", () => undefined); // its close follows
    answer.on("data", this.#onPiece).once("end", this.#onEnd).once("close", this.#onAnswerClose);
    response.on("drain", this.#onDrain).once("close", this.#onResponseClose);
    this.#turns.awaitGlance();
    if (response.destroyed) this.#settle("abandoned");
    else if (answer.destroyed && !answer.readableEnded) this.#settle("truncated");
  }

  /** @returns whether there is a head. */
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
    clearImmediate(this.#headAlone);
    this.#turns.stop();
    const answer = this.#answer;
    const response = this.#response;
    answer.off("data", this.#onPiece).off("end", this.#onEnd).off("close", this.#onAnswerClose);
    response.off("drain", this.#onDrain).off("close", this.#onResponseClose);
    if (relayed !== "whole") {
      answer.destroy();
      if (this.#hasBegun) response.destroy();
    }
    this.#resolve(relayed);
  }

  readonly #onPiece = (piece: Buffer): void => {
    if (!this.#begin()) return;
    if (this.#response.write(piece)) return this.#turns.awaitGlance();
    this.#answer.pause();
    this.#turns.awaitClient();
  };

  readonly #onDrain = (): void => {
    this.#turns.awaitGlance();
    this.#answer.resume();
  };

  readonly #onEnd = (): void => {
    if (this.#begin()) this.#settle("whole");
  };

  readonly #onAnswerClose = (): void => this.#settle("truncated");
  readonly #onResponseClose = (): void => this.#settle("abandoned");
}

/** Longest early answer that is passed on; Glance's are a few hundred bytes. */
const MAX_EARLY_ANSWER_BYTES = 1024 * 1024;

/** @returns undefined if the answer is cut short, never ends or is too long. */
export function collectAnswer(answer: IncomingMessage, silenceMs: number): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const pieces: Buffer[] = [];
    let bytes = 0;
    const silence = createTimer(silenceMs, () => answer.destroy());
    silence.start();
    answer.on("data", (piece: Buffer) => {
      silence.start();
      pieces.push(piece);
      bytes += piece.length;
      if (bytes > MAX_EARLY_ANSWER_BYTES) answer.destroy();
    });
    answer.once("end", () => resolve(Buffer.concat(pieces)));
    answer.once("error", () => resolve(undefined));
    answer.once("close", () => {
      silence.stop();
      resolve(undefined); // without effect after `end`
    });
  });
}
