/** One upload, from its head to its settling. It settles once; metrics, log and the list of uploads hang off that. */
import type { Operation, SizeSource, RollbackResult } from "../vocabulary/labels.js";
import { clientKind, type ClientKind } from "../observe/client-kind.js";
import type { Observers } from "../observe/observers.js";
import type { UploadView } from "../observe/uploads-registry.js";
import type { Body, Framing } from "../http/body.js";
import { describeError, ProxyError } from "../vocabulary/errors.js";
import type { DeclaredSize } from "./declared-size.js";
import { replayKey } from "./replay-memory.js";
import type { Outcome } from "../vocabulary/outcomes.js";

export interface UploadOrigin {
  readonly requestId: string;
  readonly imageId: string;
  readonly operation: Operation;
  readonly framingIn: Framing;
  readonly peer: string | undefined;
  readonly userAgent: string | undefined;
}

/** An image's id has 36 characters. A longer one is the client's invention, and lists stay small whatever it invents. */
const MOST_ID_LENGTH = 64;

/** `s3_store_large_object_size`: from there on glance_store's S3 driver sends parts, and leaves them behind if the body is cut. */
const S3_PARTS_BYTES = 100 * 1024 * 1024;
const S3_REMARK =
  "If the store is S3, parts of this upload may remain in the bucket. Add a lifecycle rule AbortIncompleteMultipartUpload.";

export class Upload {
  source: SizeSource = "unknown";
  declaredBytes: number | undefined;
  /** Counted after transfer-decoding. */
  receivedBytes = 0;
  /** Handed to the connection to Glance. */
  forwardedBytes = 0;
  /** Absent until a request went out to Glance. */
  framingOut: Framing | undefined;
  rollback: RollbackResult | undefined;
  /** Called when the first byte at all is read, and that for nothing. */
  onFirstDiscarded: (() => void) | undefined;

  readonly #client: ClientKind;
  readonly #startedAt = new Date();
  /** By the clock that nobody sets. */
  readonly #begun = performance.now();
  #durationSeconds: number | undefined;
  #replayKey: string | undefined;
  #discards = false;
  #discardedBytes = 0;
  #outcome: Outcome | undefined;

  constructor(
    readonly origin: UploadOrigin,
    private readonly observers: Observers,
  ) {
    this.#client = clientKind(origin.userAgent);
    observers.metrics.uploadStarted(origin.operation);
    observers.uploads.add(this);
  }

  /** Made when it is asked for. */
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

  /** Its size became known by keeping all of it. */
  spooled(): void {
    this.source = "spooled";
    this.declaredBytes = this.receivedBytes;
  }

  received(bytes: number): void {
    this.receivedBytes += bytes;
    this.observers.metrics.totals.received[this.origin.operation] += bytes;
  }

  /** Reads on only so that the client can read the answer: received, but no part of the upload. */
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

  /** All that was read of the body, for the upload or for nothing. */
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
    };
  }

  /** @param reason what the log says besides: a status of Glance's, or the error. */
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
    uploads.finish(this);
    const error = reason instanceof ProxyError ? describeError(reason) : undefined;
    // Each by its name, here and in `view`: of an object that is spread V8 makes a new kind of object every time.
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
