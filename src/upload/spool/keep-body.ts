/** Reads the client's body into a spool, counted, as far as there is place for it. */
import {
  clientAborted,
  clientTimeout,
  malformedBody,
  type ProxyError,
  tooLarge,
} from "../../vocabulary/errors.js";
import type { Body, ByteCounter } from "../../http/body.js";
import { createTimer } from "../../http/timer.js";
import type { NoPlace, Spool } from "./spool.js";

export interface KeepOptions {
  readonly source: Body;
  readonly spool: Spool;
  readonly counter: ByteCounter;
  /** Most bytes accepted. */
  readonly maxBytes: number;
  /** `limits.idleTimeout`, milliseconds. Time in which the disk is waited for does not count. */
  readonly idleMs: number;
}

export type Kept =
  /** The client's body has ended, and all of it is in the spool. */
  | { readonly kind: "whole" }
  /** A bound was reached; the client is paused. `next` comes between what is kept and what is still to be read. */
  | { readonly kind: "full"; readonly why: NoPlace; readonly next: readonly Buffer[] }
  | { readonly kind: "failed"; readonly error: ProxyError };

/** Resolves once, never rejects. */
export function keepBody({ source, spool, counter, maxBytes, idleMs }: KeepOptions): Promise<Kept> {
  return new Promise((resolve) => {
    const idle = createTimer(idleMs, () => fail(clientTimeout()));
    /** Read, and not in the spool yet: pieces may still come after a pause. */
    const pending: Buffer[] = [];
    let isWaiting = false;
    let hasEnded = false;
    let isSettled = false;

    const settle = (kept: Kept): void => {
      isSettled = true;
      idle.stop();
      source.off("data", onPiece).off("end", onEnd).off("close", onClose).off("malformed", onMalformed);
      resolve(kept);
    };
    const fail = (error: ProxyError): void => {
      settle({ kind: "failed", error });
      counter.discardFrom(source);
      source.resume();
    };
    const wait = (): void => {
      isWaiting = true;
      idle.stop();
      source.pause();
    };
    const settleFull = (why: NoPlace): void => {
      if (why.kept) pending.shift();
      wait();
      // What came with this piece comes within this turn.
      queueMicrotask(() => {
        if (!isSettled) settle({ kind: "full", why, next: pending });
      });
    };
    const keep = (): void => {
      for (let [piece] = pending; piece && !isWaiting; [piece] = pending) {
        const appended = spool.append(piece);
        if (appended instanceof Promise) return waitFor(appended);
        if (appended) return settleFull(appended);
        pending.shift();
      }
      if (!hasEnded || isWaiting) return;
      settle({ kind: "whole" });
      source.release?.();
    };
    const waitFor = (appended: Promise<NoPlace | undefined>): void => {
      wait();
      void appended.then((full) => {
        if (isSettled) return;
        isWaiting = false;
        if (full) return settleFull(full);
        pending.shift();
        idle.start();
        keep();
        if (!isWaiting) source.resume();
      });
    };
    const onPiece = (piece: Buffer): void => {
      counter.received(piece.length);
      if (counter.receivedBytes > maxBytes) return fail(tooLarge(counter.receivedBytes, maxBytes));
      pending.push(piece);
      if (isWaiting) return;
      idle.start();
      keep();
    };
    // It may come although the body is paused, and so before the last piece is taken.
    const onEnd = (): void => {
      source.off("close", onClose);
      hasEnded = true;
      keep();
    };
    const onClose = (): void => fail(clientAborted());
    const onMalformed = (): void => fail(malformedBody());
    // Listens on when all is decided: a client that has closed its side can still read the answer.
    source.once("halfClosed", () => {
      if (!isSettled) fail(clientAborted());
    });
    if (source.destroyed) return fail(clientAborted());
    if (source.malformed) return fail(malformedBody());
    source.on("data", onPiece).once("end", onEnd).once("close", onClose).once("malformed", onMalformed);
    idle.start();
    source.resume();
  });
}
