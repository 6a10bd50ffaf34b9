/** Reads the client's body into a spool, counted, as far as there is place for it. */
import type { IncomingMessage } from "node:http";
import { clientAborted, clientTimeout, type ProxyError } from "../proxy-error.js";
import { createTimer } from "../timer.js";
import { tooLarge } from "./relay.js";
import type { NoPlace, Spool } from "./spool.js";
import type { Upload } from "./upload.js";

export interface KeepOptions {
  readonly source: IncomingMessage;
  readonly spool: Spool;
  readonly upload: Upload;
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
export function keepBody({ source, spool, upload, maxBytes, idleMs }: KeepOptions): Promise<Kept> {
  return new Promise((resolve) => {
    const idle = createTimer(idleMs, () => fail(clientTimeout()));
    let settled = false;
    /** Resolves when the last piece read is in the spool, or has ended the keeping. */
    let taken = Promise.resolve();
    const settle = (kept: Kept): void => {
      settled = true;
      idle.stop();
      source.off("data", onPiece).off("end", onEnd).off("close", onClose);
      resolve(kept);
    };
    const fail = (error: ProxyError): void => {
      settle({ kind: "failed", error });
      source.resume();
    };
    const settleFull = (why: NoPlace, piece: Buffer): void => {
      source.pause();
      settle({ kind: "full", why, next: why.kept ? [] : [piece] });
    };
    const onPiece = (piece: Buffer): void => {
      idle.start();
      upload.received(piece.length);
      if (upload.receivedBytes > maxBytes) return fail(tooLarge(upload.receivedBytes, maxBytes));
      const appended = spool.append(piece);
      if (!(appended instanceof Promise)) {
        if (appended) settleFull(appended, piece);
        return;
      }
      idle.stop();
      source.pause();
      taken = appended.then((full) => {
        if (settled) return;
        if (full) return settleFull(full, piece);
        idle.start();
        source.resume();
      });
    };
    // Node says that the body has ended although it is paused, and so before its last piece may be taken.
    const onEnd = (): void => {
      source.off("close", onClose);
      void taken.then(() => {
        if (!settled) settle({ kind: "whole" });
      });
    };
    const onClose = (): void => fail(clientAborted());
    if (source.destroyed) return fail(clientAborted());
    source.on("data", onPiece).once("end", onEnd).once("close", onClose);
    idle.start();
    source.resume();
  });
}
