/** Record of one upload. It settles once, whatever happens first; metrics, log and list of uploads follow from that. */
import type { Body, Framing } from "../http/body.js";
import { type ClientKind, clientKind } from "../observe/client-kind.js";
import type { Observers } from "../observe/observers.js";
import type { UploadView } from "../observe/uploads-registry.js";
import { describeError, ProxyError } from "../vocabulary/errors.js";
import type { Operation, RollbackResult, SizeSource } from "../vocabulary/labels.js";
import type { Outcome, Verdict } from "../vocabulary/outcomes.js";
import type { DeclaredSize } from "./declared-size.js";
import type { Observation } from "./observation.js";
import { replayKey } from "./replay-memory.js";

export interface UploadOrigin {
  readonly requestId: string;
  readonly imageId: string;
  readonly operation: Operation;
  readonly framingIn: Framing;
  readonly peer: string | undefined;
  readonly userAgent: string | undefined;
}

/** Maximum length of an image id in lists. Real ids have 36 characters, but the client chooses what it sends. */
const MOST_ID_LENGTH = 64;

/** `s3_store_large_object_size`. From this size on, glance_store's S3 driver uploads parts, and leaves them in the bucket if the upload is aborted. */
const S3_PARTS_BYTES = 100 * 1024 * 1024;
const S3_REMARK =
  "If the store is S3, parts of this upload may remain in the bucket. Add a lifecycle rule AbortIncompleteMultipartUpload.";

export class Upload {
  source: SizeSource = "unknown";
  declaredBytes: number | undefined;
  /** Bytes read from the client, after transfer-decoding. */
  receivedBytes = 0;
  /** Bytes written to the connection to Glance. */
  forwardedBytes = 0;
  /** Absent until the request to Glance is opened. */
  framingOut: Framing | undefined;
  rollback: RollbackResult | undefined;
  /** Called if the first byte of the body is read only to be discarded. */
  onFirstDiscarded: (() => void) | undefined;

  readonly #client: ClientKind;
  readonly #startedAt = new Date();
  /** Monotonic clock. */
  readonly #begun = performance.now();
  #durationSeconds: number | undefined;
  #replayKey: string | undefined;
  #discards = false;
  #discardedBytes = 0;
  #outcome: Outcome | undefined;

  constructor(
    readonly origin: UploadOrigin,
    private readonly observers: Observers,
    /** Absent with `enforce: true`. */
    readonly observation?: Observation,
  ) {
    this.#client = clientKind(origin.userAgent);
    observers.metrics.uploadStarted(origin.operation);
    observers.uploads.add(this);
  }

  /** Computed when first needed. */
  get replayKey(): string {
    return (this.#replayKey ??= replayKey(this.origin));
  }

  get elapsedSeconds(): number {
    return (performance.now() - this.#begun) / 1000;
  }

  declare(size: DeclaredSize): void {
    this.source = size.source;
    this.declaredBytes = size.bytes;
    if (size.source === "unknown") this.observers.metrics.uploadUndeclared(this.#client);
  }

  /** The whole body is in the spool, so its size is known. */
  spooled(): void {
    this.source = "spooled";
    this.declaredBytes = this.receivedBytes;
  }

  received(bytes: number): void {
    this.receivedBytes += bytes;
    this.observers.metrics.totals.received[this.origin.operation] += bytes;
  }

  /** Counts what is read only so that the client can read its answer: it is received, but not part of the upload. */
  discardFrom(body: Body): void {
    if (this.#discards) return;
    this.#discards = true;
    body.on("data", (piece) => {
      const isFirst = this.readBytes === 0;
      this.#discardedBytes += piece.length;
      this.observers.metrics.totals.received[this.origin.operation] += piece.length;
      if (isFirst) this.onFirstDiscarded?.();
    });
  }

  /** All bytes read, including the discarded ones. */
  get readBytes(): number {
    return this.receivedBytes + this.#discardedBytes;
  }

  forwarded(bytes: number): void {
    this.forwardedBytes += bytes;
    this.observers.metrics.totals.forwarded[this.origin.operation] += bytes;
  }

  view(): UploadView {
    const { requestId, imageId, operation } = this.origin;
    return {
      requestId,
      imageId: imageId.slice(0, MOST_ID_LENGTH),
      operation,
      client: this.#client,
      sizeSource: this.source,
      declaredBytes: this.declaredBytes,
      receivedBytes: this.receivedBytes,
      forwardedBytes: this.forwardedBytes,
      startedAt: this.#startedAt.toISOString(),
      durationSeconds: this.#durationSeconds ?? this.elapsedSeconds,
      outcome: this.#outcome,
      verdict: this.#verdict(),
      verdictReason: this.observation?.reason,
    };
  }

  /** @returns what the outcome would have been so far. Undefined with `enforce: true`. */
  #verdict(): Verdict | undefined {
    this.observation?.measure(this, false);
    return this.observation?.verdict(this.#outcome ?? "completed");
  }

  /** @param reason for the log: the status from Glance, or the error. */
  settle(outcome: Outcome, reason?: { readonly status: number } | ProxyError): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = outcome;
    this.#durationSeconds = this.elapsedSeconds;
    const { metrics, log, uploads } = this.observers;
    const { requestId, imageId, operation, framingIn, peer, userAgent } = this.origin;
    metrics.uploadSettled({
      operation,
      outcome,
      source: this.source,
      receivedBytes: this.receivedBytes,
      durationSeconds: this.#durationSeconds,
      reframed: framingIn === "chunked" && this.framingOut === "content-length",
    });
    const verdict = this.#verdict();
    if (verdict !== undefined) metrics.uploadObserved(verdict);
    uploads.finish(this);
    const error = reason instanceof ProxyError ? describeError(reason) : undefined;
    log.info(
      {
        requestId,
        imageId,
        operation,
        framingIn,
        peer,
        userAgent,
        sizeSource: this.source,
        declaredBytes: this.declaredBytes,
        receivedBytes: this.receivedBytes,
        forwardedBytes: this.forwardedBytes,
        framingOut: this.framingOut,
        outcome,
        verdict,
        verdictReason: this.observation?.reason,
        durationSeconds: this.#durationSeconds,
        rollback: this.rollback,
        remark: this.rollback !== undefined && this.forwardedBytes >= S3_PARTS_BYTES ? S3_REMARK : undefined,
        status: reason?.status,
        reason: error?.reason,
        cause: error?.cause,
      },
      "upload",
    );
  }
}
