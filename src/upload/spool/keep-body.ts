/** Reads the client's body into a spool, counted, until the body ends or a limit of the spool is reached. */
import type { Body, BodyHasher, ByteCounter } from "../../http/body.js";
import { createTimer, type Timer } from "../../http/timer.js";
import type { Waits } from "../../http/waits.js";
import {
  clientAborted,
  clientTimeout,
  malformedBody,
  type ProxyError,
  tooLarge,
} from "../../vocabulary/errors.js";
import type { Spool, SpoolRefusal } from "./spool.js";

export interface KeepOptions {
  readonly source: Body;
  readonly spool: Spool;
  readonly counter: ByteCounter;
  /** Gets each counted piece once. Absent if the client sent no digest. */
  readonly digests?: BodyHasher | undefined;
  readonly waits: Waits;
  /** Maximum bytes accepted. */
  readonly maxBytes: number;
  /** `limits.idleTimeout`, milliseconds. Time spent waiting for the disk does not count. */
  readonly idleMs: number;
}

export type Kept =
  /** The whole body is in the spool. */
  | { readonly kind: "whole" }
  /** A limit was reached and the client is paused. `next`: bytes after the spooled ones, already read. */
  | { readonly kind: "full"; readonly why: SpoolRefusal; readonly next: readonly Buffer[] }
  | { readonly kind: "failed"; readonly error: ProxyError };

/** Resolves once, never rejects. */
export function keepBody(options: KeepOptions): Promise<Kept> {
  return new Promise((resolve) => {
    new Keeping(options, resolve).start();
  });
}

class Keeping {
  readonly #options: KeepOptions;
  readonly #resolve: (kept: Kept) => void;
  readonly #idle: Timer;
  /** Already read, but not in the spool yet. Pieces may still arrive after a pause. */
  readonly #pending: Buffer[] = [];
  #isWaiting = false;
  #hasEnded = false;
  #isSettled = false;

  constructor(options: KeepOptions, resolve: (kept: Kept) => void) {
    this.#options = options;
    this.#resolve = resolve;
    this.#idle = createTimer(options.idleMs, () => this.#fail(clientTimeout()));
  }

  start(): void {
    const { source } = this.#options;
    // Stays registered: a client that has closed its sending side can still read the answer.
    source.once("halfClosed", () => {
      if (!this.#isSettled) this.#fail(clientAborted());
    });
    if (source.destroyed) return this.#fail(clientAborted());
    if (source.malformed) return this.#fail(malformedBody());
    source.on("data", this.#onPiece).once("end", this.#onEnd);
    source.once("close", this.#onClose).once("malformed", this.#onMalformed);
    this.#awaitClient();
    source.resume();
  }

  readonly #onPiece = (piece: Buffer): void => {
    const { counter, maxBytes, digests } = this.#options;
    counter.received(piece.length);
    if (counter.receivedBytes > maxBytes) return this.#fail(tooLarge(counter.receivedBytes, maxBytes));
    digests?.update(piece);
    this.#pending.push(piece);
    if (this.#isWaiting) return;
    this.#awaitClient();
    this.#keep();
  };

  /** May be called while the body is paused, before the last piece is in the spool. */
  readonly #onEnd = (): void => {
    this.#options.source.off("close", this.#onClose);
    this.#hasEnded = true;
    this.#keep();
  };

  readonly #onClose = (): void => this.#fail(clientAborted());
  readonly #onMalformed = (): void => this.#fail(malformedBody());

  #keep(): void {
    for (let [piece] = this.#pending; piece && !this.#isWaiting; [piece] = this.#pending) {
      const appended = this.#options.spool.append(piece);
      if (appended instanceof Promise) return this.#waitFor(appended);
      if (appended) return this.#settleFull(appended);
      this.#pending.shift();
    }
    if (!this.#hasEnded || this.#isWaiting) return;
    this.#settle({ kind: "whole" });
    this.#options.source.release?.();
  }

  #waitFor(appended: Promise<SpoolRefusal | undefined>): void {
    this.#wait();
    void appended.then((full) => {
      if (this.#isSettled) return;
      this.#isWaiting = false;
      if (full) return this.#settleFull(full);
      this.#pending.shift();
      this.#awaitClient();
      this.#keep();
      if (!this.#isWaiting) this.#options.source.resume();
    });
  }

  #awaitClient(): void {
    this.#idle.start();
    this.#options.waits.switchTo("client");
  }

  #wait(): void {
    this.#isWaiting = true;
    this.#idle.stop();
    this.#options.waits.switchTo("spoolWrite");
    this.#options.source.pause();
  }

  #settleFull(why: SpoolRefusal): void {
    if (why.kept) this.#pending.shift();
    this.#wait();
    // Pieces that were read together with this one are emitted in the same tick.
    queueMicrotask(() => {
      if (!this.#isSettled) this.#settle({ kind: "full", why, next: this.#pending });
    });
  }

  #fail(error: ProxyError): void {
    const { counter, source } = this.#options;
    this.#settle({ kind: "failed", error });
    counter.discardFrom(source);
    source.resume();
  }

  #settle(kept: Kept): void {
    this.#isSettled = true;
    this.#idle.stop();
    this.#options.waits.switchTo(undefined);
    const { source } = this.#options;
    source.off("data", this.#onPiece).off("end", this.#onEnd);
    source.off("close", this.#onClose).off("malformed", this.#onMalformed);
    this.#resolve(kept);
  }
}
