/**
 * Handles the requests that let Glance fetch image data itself: `POST /v2/images/{id}/import` and `POST /v2/tasks`. Counts imports by the
 * method in their bodies, refuses those that the configuration does not allow, and refuses to import incompletely staged data, of which
 * Glance would make an image. Everything else is passed through unchanged.
 */
import type { Exchange } from "../client/exchange.js";
import type { Config } from "../config/config.js";
import type { Observers } from "../observe/observers.js";
import type { PassThrough } from "../pass-through/pass-through.js";
import { LOOK_UP_TIMEOUT_MS, lookUpImage } from "../upstream/look-up.js";
import type { Upstream } from "../upstream/upstream.js";
import { ProxyError } from "../vocabulary/errors.js";
import { createImportGuard, type ImportRefusal } from "./guard.js";
import { peekBody } from "./peek-body.js";

export interface ImportTarget {
  readonly imageId: string;
  /** What to send to Glance. */
  readonly path: string;
}

export interface ImportHandlerOptions {
  readonly config: Config;
  readonly upstream: Upstream;
  readonly passThrough: PassThrough;
  readonly observers: Observers;
}

/** Both resolve when the response is closed. @throws ProxyError if the request must not be passed on. */
export interface ImportHandler {
  importImage(exchange: Exchange, target: ImportTarget): Promise<void>;
  createTask(exchange: Exchange, path: string): Promise<void>;
}

export function createImportHandler(options: ImportHandlerOptions): ImportHandler {
  const { config, upstream, passThrough, observers } = options;
  const { metrics, log } = observers;
  const guard = createImportGuard(config.import);

  return {
    async importImage(exchange, { imageId, path }) {
      const read = await readBody(exchange);
      if (read === "gone") return;
      const { body, parsed } = read;
      const method = methodOf(parsed);
      metrics.importRequested(method);
      if (guard) enforce(exchange, readable(exchange, body, parsed), (judged) => guard.judgeImport(judged));
      if (method === "glance-direct" && config.import.verifyStaged) await requireStaged(exchange, imageId);
      if (exchange.response.destroyed) return;
      await passThrough(exchange, path);
    },

    async createTask(exchange, path) {
      if (!guard) return passThrough(exchange, path);
      const read = await readBody(exchange);
      if (read === "gone") return;
      const { body, parsed } = read;
      enforce(exchange, readable(exchange, body, parsed), (judged) => guard.judgeTask(judged));
      await passThrough(exchange, path);
    },
  };

  async function readBody(exchange: Exchange) {
    exchange.sendContinue();
    const body = await peekBody(exchange, config.limits.idleTimeoutMs);
    if (body === "gone") return body;
    return { body, parsed: body === "too_large" ? undefined : parseJson(body) };
  }

  /** A body that the guard cannot read must not reach Glance, which may be able to. */
  function readable(exchange: Exchange, body: Buffer | "too_large", parsed: Parsed | undefined): Parsed {
    if (parsed) return parsed;
    metrics.importRefused("body");
    log.warn({ ...describe(exchange), reason: "body" }, "import refused");
    if (body === "too_large") throw new ProxyError("too_large", "The body of the request is too large.");
    throw new ProxyError("bad_request", "Malformed JSON in request body.");
  }

  function enforce(
    exchange: Exchange,
    { value }: Parsed,
    judge: (value: unknown) => ImportRefusal | undefined,
  ): void {
    const refusal = judge(value);
    if (!refusal) return;
    const { reason, explanation, uri } = refusal;
    metrics.importRefused(reason);
    log.warn({ ...describe(exchange), reason, uri }, "import refused");
    throw new ProxyError("forbidden", explanation);
  }

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

function describe({ requestId, peer }: Exchange): object {
  return { requestId, peer: peer.address };
}

interface Parsed {
  readonly value: unknown;
}

/**
 * Whatever this function accepts, Glance reads alike: like Python, `JSON.parse` takes the last of repeated keys, and refuses a byte order
 * mark. Glance ignores `Content-Type` and `Content-Encoding`. What Python accepts beyond JSON (`NaN`) is not accepted here.
 */
function parseJson(body: Buffer): Parsed | undefined {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
    return { value: JSON.parse(text) };
  } catch {
    return undefined;
  }
}

function methodOf(parsed: Parsed | undefined): string {
  const { method } = (parsed?.value ?? {}) as { method?: { name?: unknown } | null };
  return typeof method?.name === "string" ? method.name : "";
}
