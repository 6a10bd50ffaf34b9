/** One upload, as its way goes: learn the size, check the limits, relay and count, wait for Glance, answer. */
import type { ServerResponse } from "node:http";
import type { Config } from "../config/schema.js";
import { LOOK_UP_TIMEOUT_MS, lookUpImage } from "../glance/image-status.js";
import type { Operation } from "../glance/request-target.js";
import { ProxyError, toProxyError } from "../proxy-error.js";
import type { Answerer } from "../proxy/answer.js";
import type { Exchange } from "../proxy/exchange.js";
import { leastRawBytes, type ClaimBody } from "../proxy/raw-body.js";
import type { HeaderLine } from "../proxy/request-head.js";
import { truncatedAnswer, upstreamErrorKind, type Upstream } from "../proxy/upstream.js";
import type { Quota } from "../quota.js";
import {
  readDeclaredSizes,
  requireAgreement,
  SIZE_HEADER,
  tooLarge,
  type DeclaredSize,
} from "./declared-size.js";
import { keepBody } from "./keep-body.js";
import { relayBody, type RelayEnd } from "./relay.js";
import { createRollback, explainRollback, type LookUp, type Rollback } from "./rollback.js";
import type { SpoolFull } from "./spool-budget.js";
import type { Spool } from "./spool.js";
import { outcomeOf, Upload, type Framing, type Observers } from "./upload.js";

/** Seconds after which a client that was turned away for want of a place may come again. */
const RETRY_AFTER_SECONDS = 10;

export interface UploadTarget {
  readonly operation: Operation;
  readonly imageId: string;
  /** What to send to Glance. */
  readonly path: string;
}

export interface UploadHandlerOptions {
  readonly config: Config;
  readonly upstream: Upstream;
  readonly answerer: Answerer;
  /** `limits.maxConcurrentUploads` */
  readonly places: Quota;
  readonly createSpool: () => Spool;
  readonly claimBody: ClaimBody | undefined;
  readonly observers: Observers;
}

export type UploadHandler = (exchange: Exchange, target: UploadTarget) => Promise<void>;

export function createUploadHandler(options: UploadHandlerOptions): UploadHandler {
  const { config, upstream, answerer, places, createSpool, claimBody, observers } = options;
  const { size, limits } = config;
  const leastClaimed = leastRawBytes(config.upload.relay);
  const maxBytes = limits.maxImageSize === 0 ? Number.POSITIVE_INFINITY : limits.maxImageSize;

  return async (exchange, target) => {
    // Whoever stood in front of us may have set the body flowing: not a byte may pass before it is counted.
    exchange.request.pause();
    const upload = new Upload(
      {
        requestId: exchange.requestId,
        imageId: target.imageId,
        operation: target.operation,
        framingIn: exchange.announced.kind === "chunked" ? "chunked" : "content-length",
        peer: exchange.peer.address,
        userAgent: exchange.head.values("user-agent")[0],
      },
      observers,
    );
    try {
      await carry(exchange, target, upload);
    } catch (cause) {
      refuse(exchange, upload, toProxyError(cause));
    }
  };

  async function carry(exchange: Exchange, target: UploadTarget, upload: Upload): Promise<void> {
    const sizes = readDeclaredSizes(exchange.head, exchange.announced, size.hints);
    const declared = sizes[0] ?? { source: "unknown" };
    upload.declare(declared);
    requireAgreement(sizes);
    checkLimits(declared);
    // Before anything is waited for, or Node's parser has the body.
    const purpose = claimPurpose(declared);
    if (purpose) exchange.body = claimBody?.(exchange, purpose) ?? exchange.request;
    if (!(await places.reserve(1))) {
      throw new ProxyError("busy", "Too many uploads are going on: try again later.", {
        headers: { "retry-after": String(RETRY_AFTER_SECONDS) },
      });
    }
    try {
      await send(exchange, target, upload, declared);
    } finally {
      places.release(1);
    }
  }

  async function send(
    exchange: Exchange,
    target: UploadTarget,
    upload: Upload,
    declared: DeclaredSize,
  ): Promise<void> {
    const headers = exchange.upstreamHeaders();
    const lookUp: LookUp = (timeoutMs) => lookUpImage(upstream, target.imageId, headers, timeoutMs);
    const rollback = createRollback(lookUp, config.rollback);
    const spool = await spoolFor(declared, lookUp);
    let end: RelayEnd;
    try {
      const kept = spool && (await keep(exchange, upload, spool));
      end = await relay(exchange, target, upload, headers, rollback, kept);
    } finally {
      await spool?.close();
    }

    if (end.kind === "answered") {
      const status = end.answer.statusCode ?? 0;
      const relayed = end.early
        ? await answerer.relayEarly(exchange, end.answer, onDiscarded(upload))
        : await answerer.relay(exchange, end.answer);
      if (relayed === "truncated") {
        observers.metrics.upstreamError("truncated");
        if (canAnswer(exchange.response)) throw truncatedAnswer();
      }
      upload.settle(status < 300 ? "completed" : "upstream_rejected", { status });
      return;
    }
    const { error, begun } = end;
    const kind = upstreamErrorKind(error);
    if (kind !== undefined) observers.metrics.upstreamError(kind);
    if (begun && config.rollback.verify) await rollBack(rollback, upload);
    refuse(exchange, upload, error);
  }

  /** Nobody may fill the spool with a body that Glance would refuse: then Glance is asked at once, and answers itself. */
  async function spoolFor(declared: DeclaredSize, lookUp: LookUp): Promise<Spool | undefined> {
    if (!isToBeKept(declared)) return undefined;
    const seen = await lookUp(LOOK_UP_TIMEOUT_MS);
    return seen.kind === "found" && seen.status === "queued" ? createSpool() : undefined;
  }

  /** @returns what is sent before the rest of the client's body. @throws ProxyError where the upload ends here. */
  async function keep(exchange: Exchange, upload: Upload, spool: Spool): Promise<AsyncIterable<Buffer>> {
    exchange.sendContinue();
    const kept = await keepBody({
      source: exchange.body,
      spool,
      upload,
      maxBytes,
      idleMs: limits.idleTimeout,
    });
    switch (kept.kind) {
      case "failed":
        throw kept.error;
      case "whole":
        upload.spooled();
        return spool.read();
      case "full":
        observers.metrics.spoolFull(kept.why.full);
        if (kept.why.full === "disk") warnOfDisk(upload, kept.why.cause);
        if (config.spool.onFull === "reject") throw spoolFull(kept.why.full, upload.receivedBytes);
        return concatenate(spool.read(), kept.next);
    }
  }

  /** Full, gone, read-only, broken: the client sees none of it, and the metric not which. */
  function warnOfDisk(upload: Upload, cause: unknown): void {
    const { requestId, imageId } = upload.origin;
    observers.log.warn({ requestId, imageId, reason: (cause as Error).message }, "spool.dir takes no more");
  }

  function relay(
    exchange: Exchange,
    target: UploadTarget,
    upload: Upload,
    headers: readonly HeaderLine[],
    rollback: Rollback,
    kept: AsyncIterable<Buffer> | undefined,
  ): Promise<RelayEnd> {
    const { declaredBytes } = upload;
    const framing = declaredBytes !== undefined && size.reframe ? "content-length" : upload.origin.framingIn;
    upload.framingOut = framing;
    return relayBody({
      source: exchange.body,
      upload,
      kept,
      open: () => upstream.request("PUT", target.path, uploadHeaders(headers, declaredBytes, framing)),
      onContinue: () => exchange.sendContinue(),
      untilBegun: (over) => (config.rollback.verify ? rollback.untilBegun(over) : Promise.resolve()),
      maxBytes,
      idleMs: limits.idleTimeout,
      silenceMs: config.upstream.responseTimeout,
    });
  }

  function isToBeKept({ source }: DeclaredSize): boolean {
    return source === "unknown" && size.unknown === "spool";
  }

  /** Those of unknown size are most often snapshots and volumes: large ones. */
  function claimPurpose(declared: DeclaredSize): "keep" | "send" | undefined {
    if (isToBeKept(declared)) return "keep";
    const { bytes = Number.POSITIVE_INFINITY } = declared;
    return bytes >= leastClaimed ? "send" : undefined;
  }

  function checkLimits(declared: DeclaredSize): void {
    if (limits.maxImageSize > 0 && (declared.bytes ?? 0) > limits.maxImageSize) {
      throw tooLarge(declared.bytes ?? 0, limits.maxImageSize);
    }
    if (declared.source === "unknown" && size.unknown === "reject") {
      throw new ProxyError(
        "length_required",
        `The size of the image has to be announced, by ${SIZE_HEADER} or Content-Length.`,
      );
    }
  }

  async function rollBack(rollback: Rollback, upload: Upload): Promise<void> {
    const startedAt = performance.now();
    upload.rollback = await rollback.untilBack();
    observers.metrics.rollback(upload.rollback, (performance.now() - startedAt) / 1000);
    if (upload.rollback === "timeout" || upload.rollback === "active") {
      const { requestId, imageId } = upload.origin;
      observers.log.error({ requestId, imageId, rollback: upload.rollback }, "image not rolled back");
    }
  }

  function refuse(exchange: Exchange, upload: Upload, error: ProxyError): void {
    const { response } = exchange;
    if (canAnswer(response)) {
      const remark = explainRollback(upload.rollback, upload.origin.imageId);
      answerer.refuse(exchange, { error, remark }, onDiscarded(upload));
    } else {
      response.destroy();
    }
    upload.settle(outcomeOf(error.code), error);
  }
}

function onDiscarded(upload: Upload): (bytes: number) => void {
  return (bytes) => upload.discarded(bytes);
}

function canAnswer(response: ServerResponse): boolean {
  return !response.headersSent && !response.destroyed && response.socket?.destroyed === false;
}

async function* concatenate(first: AsyncIterable<Buffer>, then: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* first;
  yield* then;
}

function spoolFull(why: SpoolFull, bytes: number): ProxyError {
  return why === "per_upload"
    ? new ProxyError(
        "too_large",
        `The image is larger than may be kept to learn its size: announce it. (${bytes} bytes so far)`,
      )
    : new ProxyError(
        "spool_full",
        "There is no place now to keep the image to learn its size: announce it, or try again later.",
      );
}

/** Strip first, inject after: nothing the client says of the size or framing goes on by itself. */
function uploadHeaders(
  headers: readonly HeaderLine[],
  declaredBytes: number | undefined,
  framing: Framing,
): HeaderLine[] {
  const lines = headers.filter(({ name }) => name !== "content-length" && name !== SIZE_HEADER);
  const say = (name: string, value: string): void => void lines.push({ name, value });
  if (declaredBytes !== undefined) say(SIZE_HEADER, String(declaredBytes));
  if (framing === "content-length") say("content-length", String(declaredBytes));
  else say("transfer-encoding", "chunked");
  const isEmpty = framing === "content-length" && declaredBytes === 0;
  if (!isEmpty) say("expect", "100-continue");
  return lines;
}
