/** Record of one upload. It settles once, whatever happens first; metrics, log and list of uploads follow from that. */
import type { Body, Framing } from "../http/body.js";
import type { HeaderLine } from "../http/request-head.js";
import { type Wait, Waits } from "../http/waits.js";
import { clientKind } from "../observe/client-kind.js";
import { cutText } from "../observe/cut-text.js";
import type { Observers } from "../observe/observers.js";
import type { UploadTrace } from "../observe/tracing.js";
import type { UploadFigures } from "../observe/upload-metrics.js";
import type { UploadView } from "../observe/uploads-registry.js";
import { describeError, type ProxyError, type ProxyErrorCode } from "../vocabulary/errors.js";
import type {
  ClientKind,
  Operation,
  RollbackResult,
  SizeSource,
  UnknownSizePolicy,
} from "../vocabulary/labels.js";
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
  readonly clientRequestId: string | undefined;
  readonly traceparent: string | undefined;
}

/** Maximum length of an image id in lists. Real ids have 36 characters, but the client chooses what it sends. */
const MOST_ID_LENGTH = 64;

/** `s3_store_large_object_size`. From this declared size on, glance_store's S3 driver uploads parts, and leaves them in the bucket if the upload is aborted. */
const S3_PARTS_BYTES = 100 * 1024 * 1024;
const S3_REMARK =
  "If the store is S3, parts of this upload may remain in the bucket. Add a lifecycle rule AbortIncompleteMultipartUpload.";

/** Whose turn it is, as the lists show it. */
const WAITS_FOR = {
  client: "client",
  glance: "glance",
  rollback: "glance",
  spoolWrite: "spool",
  spoolRead: "spool",
  nothing: undefined,
} as const satisfies Record<Wait | "nothing", UploadView["waitsFor"]>;

export class Upload {
  source: SizeSource = "unknown";
  declaredBytes: number | undefined;
  /** Bytes read from the client, after transfer-decoding. */
  receivedBytes = 0;
  /** Bytes written to the connection to Glance. */
  forwardedBytes = 0;
  /** Absent until the request to Glance is opened. */
  framingOut: Framing | undefined;
  /** What decided about an upload of unknown size: the index of a rule in `size.rules`, or `default`. */
  sizeRule: string | undefined;
  /** What that rule says. */
  sizePolicy: UnknownSizePolicy | undefined;
  rollback: RollbackResult | undefined;
  /** The id by which Glance names the upload. */
  glanceRequestId: string | undefined;
  /** The project that owns the image. Absent if the image was not looked up. */
  owner: string | undefined;
  /** Seconds between the last byte of the body and Glance's answer. */
  lastByteToAnswer: number | undefined;
  readonly waits = new Waits();
  /** Absent without an SDK of OpenTelemetry. */
  trace: UploadTrace | undefined;
  /** Called if the first byte of the body is read only to be discarded. */
  onFirstDiscarded: (() => void) | undefined;

  readonly client: ClientKind;
  readonly #startedAt = new Date();
  /** Monotonic clock. */
  readonly #begun = performance.now();
  #durationSeconds: number | undefined;
  #replayKey: string | undefined;
  #discards = false;
  #discardedBytes = 0;
  #outcome: Outcome | undefined;
  #status: number | undefined;
  #error: ProxyError | undefined;

  constructor(
    readonly origin: UploadOrigin,
    private readonly observers: Observers,
    /** Absent with `enforce: true`. */
    readonly observation?: Observation,
  ) {
    this.client = clientKind(origin.userAgent);
    observers.metrics.uploadStarted(origin.operation);
    observers.uploads.add(this);
  }

  /** Computed when first needed. */
  get replayKey(): string {
    return (this.#replayKey ??= replayKey(this.origin));
  }

  /** Until the upload has settled, up to now. */
  get elapsedSeconds(): number {
    return this.#durationSeconds ?? (performance.now() - this.#begun) / 1000;
  }

  /** @returns the headers for Glance, with the trace context of the current phase. */
  traced(headers: readonly HeaderLine[]): readonly HeaderLine[] {
    return this.trace?.inject(headers) ?? headers;
  }

  declare(size: DeclaredSize): void {
    this.source = size.source;
    this.declaredBytes = size.bytes;
    if (size.source !== "unknown") return;
    this.sizeRule = size.decision.rule;
    this.sizePolicy = size.decision.policy;
    this.observers.metrics.uploadUndeclared(this.client);
    this.observers.metrics.unknownSizeDecided(size.decision);
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
    const { requestId, clientRequestId, traceparent, imageId, operation, peer, userAgent } = this.origin;
    return {
      requestId,
      clientRequestId: cutText(clientRequestId),
      glanceRequestId: cutText(this.glanceRequestId),
      traceparent: cutText(traceparent),
      imageId: imageId.slice(0, MOST_ID_LENGTH),
      operation,
      owner: this.owner,
      client: this.client,
      peer,
      userAgent: cutText(userAgent),
      sizeSource: this.source,
      sizeRule: this.sizeRule,
      declaredBytes: this.declaredBytes,
      invalidSize: cutText(invalidSizeOf(this.#error) ?? invalidSizeOf(this.observation?.error)),
      receivedBytes: this.receivedBytes,
      forwardedBytes: this.forwardedBytes,
      startedAt: this.#startedAt.toISOString(),
      durationSeconds: this.elapsedSeconds,
      waitsFor: WAITS_FOR[this.waits.current ?? "nothing"],
      waitClient: this.#waited("client") ?? 0,
      waitGlance: this.#waited("glance") ?? 0,
      lastByteToAnswer: rounded(this.lastByteToAnswer),
      spoolWrite: this.#waited("spoolWrite"),
      spoolRead: this.#waited("spoolRead"),
      waitRollback: this.#waited("rollback"),
      outcome: this.#outcome,
      verdict: this.#verdict(),
      verdictReason: cutText(this.observation?.reason),
      status: this.#status,
      reason: cutText(this.#error?.message),
      rollback: this.rollback,
    };
  }

  /** @returns what the outcome would have been so far. Undefined with `enforce: true`. */
  #verdict(): Verdict | undefined {
    this.observation?.measure(this, false);
    return this.observation?.verdict(this.#outcome ?? "completed");
  }

  /** @returns seconds; undefined if the upload never waited for it. */
  #waited(what: Wait): number | undefined {
    const seconds = this.waits.seconds(what);
    return seconds === 0 ? undefined : rounded(seconds);
  }

  /**
   * @param status the status that the client got.
   * @param error why the upload was refused or failed; absent if Glance decided.
   * @param owner the upload stays in flight, and has no line in the log, until this look-up has settled.
   */
  settle(outcome: Outcome, status: number, error?: ProxyError, owner?: Promise<unknown>): void {
    if (this.#outcome !== undefined) return;
    this.waits.switchTo(undefined);
    this.#outcome = outcome;
    this.#status = status;
    this.#error = error;
    this.#durationSeconds = this.elapsedSeconds;
    const { framingIn } = this.origin;
    const reframed = framingIn === "chunked" && this.framingOut === "content-length";
    this.observers.metrics.uploadSettled(this.#figures(outcome), reframed);
    if (owner) void owner.finally(() => this.#finish());
    else this.#finish();
  }

  #figures(outcome: Outcome): UploadFigures {
    return {
      operation: this.origin.operation,
      outcome,
      verdict: this.#verdict(),
      sizeSource: this.source,
      receivedBytes: this.receivedBytes,
      durationSeconds: this.elapsedSeconds,
      waitClient: this.waits.seconds("client"),
      waitGlance: this.waits.seconds("glance"),
      lastByteToAnswer: this.lastByteToAnswer,
      spoolWrite: this.waits.seconds("spoolWrite"),
      spoolRead: this.waits.seconds("spoolRead"),
    };
  }

  #finish(): void {
    const { uploads, log } = this.observers;
    uploads.finish(this);
    if (log.isLevelEnabled?.("info") === false) return; // composing the line takes 20 us
    const { imageId, framingIn } = this.origin;
    const hasParts = this.forwardedBytes > 0 && (this.declaredBytes ?? 0) >= S3_PARTS_BYTES;
    const isLeftInS3 = this.rollback !== undefined && hasParts;
    const line = Object.assign(this.view(), {
      imageId,
      framingIn,
      framingOut: this.framingOut,
      remark: isLeftInS3 ? S3_REMARK : undefined,
      cause: this.#error && describeError(this.#error).cause,
    });
    log.info(line, "upload");
  }
}

/** Errors whose cause is what the head declares. */
const SIZE_ERRORS: ReadonlySet<string> = new Set<ProxyErrorCode>([
  "invalid_size",
  "size_exceeded",
  "size_mismatch",
]);

/** @returns name and value of the size header, or of two that differ; undefined if the head has no fault. */
function invalidSizeOf(error: ProxyError | undefined): string | undefined {
  return error && SIZE_ERRORS.has(error.code) ? describeError(error).cause : undefined;
}

/** To microseconds. */
function rounded(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : Math.round(seconds * 1e6) / 1e6;
}
