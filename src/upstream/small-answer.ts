/** Reads small answers of Glance: completely into memory, with a maximum size and a time limit. */
import type { ClientRequest, IncomingMessage } from "node:http";
import { closedUnanswered } from "./failures.js";

/** Maximum size of a body. Glance's errors have a few hundred bytes, an image's record has a few KiB. */
const MAX_BODY_BYTES = 1024 * 1024;

export type CollectedBody =
  /** If the body is larger than the maximum, `isWhole` is false and the rest is not read. */
  | { readonly kind: "body"; readonly body: Buffer; readonly isWhole: boolean }
  /** The connection closed before the end of the body. */
  | { readonly kind: "failed"; readonly cause: unknown };

/** Never rejects. The caller may destroy the answer. */
export function collectBody(answer: IncomingMessage): Promise<CollectedBody> {
  return new Promise((resolve) => {
    const pieces: Buffer[] = [];
    let bytes = 0;
    const settle = (isWhole: boolean): void =>
      resolve({ kind: "body", body: Buffer.concat(pieces, bytes), isWhole });
    const fail = (cause: unknown): void => resolve({ kind: "failed", cause }); // no effect after `settle`
    const onCut = (): void => fail(new Error("the answer was cut off"));
    answer.on("data", (piece: Buffer) => {
      pieces.push(piece);
      bytes += piece.length;
      if (bytes <= MAX_BODY_BYTES) return;
      settle(false);
      answer.destroy();
    });
    answer.once("end", () => settle(true));
    answer.on("error", fail).once("close", onCut);
    if (answer.destroyed) onCut(); // no event follows
  });
}

export type SmallAnswer =
  | {
      readonly kind: "answer";
      readonly head: IncomingMessage;
      readonly body: Buffer;
      readonly isWhole: boolean;
    }
  /** The time limit passed first. */
  | { readonly kind: "late" }
  | { readonly kind: "failed"; readonly cause: unknown };

export interface SmallAnswerOptions {
  /** Maximum time to the end of the answer. */
  readonly timeoutMs: number;
  /** Called when the head of the answer arrives, before the body is read. */
  readonly onHead?: (head: IncomingMessage) => void;
}

/**
 * Call it before the request can be answered; the caller sends the request. Never rejects. If the caller destroys the request, the
 * result is `failed`.
 */
export function readSmallAnswer(
  request: ClientRequest,
  { timeoutMs, onHead }: SmallAnswerOptions,
): Promise<SmallAnswer> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      resolve({ kind: "late" });
      request.destroy();
    }, timeoutMs);
    const settle = (answer: SmallAnswer): void => {
      clearTimeout(timer);
      resolve(answer); // no effect after `late`
    };
    const fail = (cause: unknown): void => settle({ kind: "failed", cause });
    /** If Glance switches protocols, the request closes without an error. */
    const onClose = (): void => fail(closedUnanswered());
    request.on("error", fail).once("close", onClose);
    request.once("response", (head) => {
      request
        .off("error", fail)
        .off("close", onClose)
        .on("error", () => undefined); // the answer fails, too
      onHead?.(head);
      void collectBody(head).then((collected) =>
        settle(collected.kind === "body" ? { ...collected, kind: "answer", head } : collected),
      );
    });
  });
}
