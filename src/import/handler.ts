/**
 * Handles `POST /v2/images/{id}/import`: counts the import by the method in its body, then passes it through unchanged. Refuses to
 * import incompletely staged data, of which Glance would make an image.
 */
import type { Exchange } from "../client/exchange.js";
import type { Config } from "../config/config.js";
import { createTimer } from "../http/timer.js";
import type { Metrics } from "../observe/metrics.js";
import type { PassThrough } from "../pass-through/pass-through.js";
import { LOOK_UP_TIMEOUT_MS, lookUpImage } from "../upstream/look-up.js";
import type { Upstream } from "../upstream/upstream.js";
import { clientTimeout, malformedBody, ProxyError } from "../vocabulary/errors.js";

/** Maximum size of a body that is parsed. Import requests have a few hundred bytes. */
const MAX_BODY_BYTES = 64 * 1024;

export interface ImportTarget {
  readonly imageId: string;
  /** What to send to Glance. */
  readonly path: string;
}

export interface ImportHandlerOptions {
  readonly config: Config;
  readonly upstream: Upstream;
  readonly passThrough: PassThrough;
  readonly metrics: Metrics;
}

/** Resolves when the response is closed. @throws ProxyError if the request must not be passed on. */
export type ImportHandler = (exchange: Exchange, target: ImportTarget) => Promise<void>;

export function createImportHandler(options: ImportHandlerOptions): ImportHandler {
  const { config, upstream, passThrough, metrics } = options;

  return async (exchange, { imageId, path }) => {
    exchange.sendContinue();
    const body = await peekBody(exchange, config.limits.idleTimeoutMs);
    if (body === "gone") return;
    const method = methodOf(body);
    metrics.importRequested(method);
    if (method === "glance-direct" && config.import.verifyStaged) await requireStaged(exchange, imageId);
    if (exchange.response.destroyed) return;
    await passThrough(exchange, path);
  };

  async function requireStaged(exchange: Exchange, imageId: string): Promise<void> {
    const seen = await lookUpImage(upstream, imageId, exchange.upstreamHeaders(), LOOK_UP_TIMEOUT_MS);
    // In all other cases Glance decides.
    if (seen.kind === "found" && seen.status === "uploading" && seen.size === null) {
      throw new ProxyError(
        "conflict",
        `Image ${imageId} is still being staged. Wait for the stage upload to finish, then import.`,
      );
    }
  }
}

/**
 * Reads the body and puts it back, so that it can be read again.
 * @returns the body; empty if it is larger than {@link MAX_BODY_BYTES}; `gone` if the client has disconnected.
 * @throws ProxyError `client_timeout`.
 */
function peekBody({ request, body }: Exchange, idleMs: number): Promise<Buffer | "gone"> {
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
      resolve(bytes <= MAX_BODY_BYTES ? peeked : Buffer.alloc(0));
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

function methodOf(body: Buffer): string {
  try {
    const { method } = JSON.parse(body.toString()) as { method?: { name?: unknown } };
    return typeof method?.name === "string" ? method.name : "";
  } catch {
    return ""; // Glance will refuse it
  }
}
