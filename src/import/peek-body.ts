/** Reads the small body of a request without taking it away from whoever passes the request on. */
import type { Exchange } from "../client/exchange.js";
import { createTimer } from "../http/timer.js";
import { clientTimeout, malformedBody } from "../vocabulary/errors.js";

/** Maximum size of a body that is parsed. Import requests have a few hundred bytes. */
const MAX_BODY_BYTES = 64 * 1024;

/**
 * Reads the body and puts it back, so that it can be read again.
 * @returns the body; `too_large` if it is larger than {@link MAX_BODY_BYTES}; `gone` if the client has disconnected.
 * @throws ProxyError `client_timeout`, `malformed_body`.
 */
export function peekBody(
  { request, body }: Exchange,
  idleMs: number,
): Promise<Buffer | "too_large" | "gone"> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = [];
    let bytes = 0;
    const stop = (): void => {
      idle.stop();
      request
        .off("readable", onReadable)
        .off("end", onEnd)
        .off("close", onClose)
        .off("malformed", onMalformed);
    };
    const idle = createTimer(idleMs, () => {
      stop();
      reject(clientTimeout());
    });
    const onReadable = (): void => {
      idle.start();
      for (let piece; (piece = request.read() as Buffer | null) !== null;) {
        pieces.push(piece);
        bytes += piece.length;
      }
      if (!request.complete && bytes <= MAX_BODY_BYTES) return;
      stop();
      const peeked = Buffer.concat(pieces);
      // In the same tick as the last read, so that `end` has not been emitted yet.
      if (bytes > 0) request.unshift(peeked);
      resolve(bytes <= MAX_BODY_BYTES ? peeked : "too_large");
    };
    const onEnd = (): void => {
      stop();
      resolve(Buffer.alloc(0));
    };
    const onClose = (): void => {
      stop();
      resolve("gone");
    };
    const onMalformed = (): void => {
      stop();
      reject(malformedBody());
    };
    if (request.destroyed) return onClose();
    if (body.malformed) return onMalformed();
    request
      .on("readable", onReadable)
      .once("end", onEnd)
      .once("close", onClose)
      .once("malformed", onMalformed);
    idle.start();
  });
}
