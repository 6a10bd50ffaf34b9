/** The metrics of uploads. */
import type { Histogram } from "prom-client";
import {
  CLIENT_KINDS,
  type ClientKind,
  type Operation,
  OPERATIONS,
  RECOVERY_RESULTS,
  type RecoveryResult,
  ROLLBACK_RESULTS,
  type RollbackResult,
  SIZE_SOURCES,
  SPOOL_BOUNDS,
  type SpoolBound,
  type UnknownSizePolicy,
  WAITS_FOR,
} from "../vocabulary/labels.js";
import { type Outcome, OUTCOMES, VERDICTS } from "../vocabulary/outcomes.js";
import type { MetricMakers } from "./metric-makers.js";
import type { Totals } from "./totals.js";
import type { UploadView } from "./uploads-registry.js";

/** What an upload can wait for, under the names of the log and of `/uploads`. */
type Wait = "waitClient" | "waitGlance" | "lastByteToAnswer" | "spoolWrite" | "spoolRead";

/** Seconds. Zero or absent: the upload did not wait. */
export interface UploadFigures
  extends
    Pick<UploadView, "operation" | "sizeSource" | "receivedBytes" | "durationSeconds">,
    Partial<Pick<UploadView, Wait | "verdict">> {
  readonly outcome: Outcome;
}

export interface UploadMetrics {
  uploadStarted(operation: Operation): void;
  /** The client declared no size. */
  uploadUndeclared(client: ClientKind): void;
  /** Shows every rule with 0. @param decisions what may be decided. */
  showSizeRules(decisions: readonly SizeDecision[]): void;
  /** A rule decided about an upload of unknown size. */
  unknownSizeDecided(decision: SizeDecision): void;
  /** @param reframed the client sent it chunked, and Glance got it with `Content-Length`. */
  uploadSettled(figures: UploadFigures, reframed: boolean): void;
}

/** A rule of `size.rules` by its index, or `default`, with its policy. */
interface SizeDecision {
  readonly rule: string;
  readonly policy: UnknownSizePolicy;
}

export function createUploadMetrics(make: MetricMakers, totals: Totals): UploadMetrics {
  showTotals(make, totals);
  const inFlight = createInFlight(make);
  const duration = make.histogram(
    "upload_duration_seconds",
    "Time from the start of an upload to its end",
    ["operation"],
    [0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400],
  );
  const size = make.histogram(
    "upload_size_bytes",
    "Bytes of image data in completed uploads",
    ["operation"],
    [20, 24, 26, 28, 30, 32, 34, 36, 38, 40].map((power) => 2 ** power),
  );
  const reframed = make.counterBy(
    "reframed_uploads_total",
    "Uploads received chunked and sent to Glance with Content-Length",
    "operation",
    OPERATIONS,
  );
  const undeclared = make.counterBy(
    "undeclared_uploads_total",
    "Uploads without a declared size, by kind of client",
    "client",
    CLIENT_KINDS,
  );
  const observed = make.counterBy(
    "uploads_observed_total",
    "Finished uploads with enforce: false, by the outcome that they would have had with enforce: true",
    "verdict",
    VERDICTS,
  );
  const sizeRules = make.counter(
    "unknown_size_rules_total",
    "Uploads without a declared size, by the rule of size.rules that decided and by its policy",
    ["rule", "policy"],
  );
  const observeWaits = createWaitMetrics(make);
  return {
    showSizeRules(decisions) {
      for (const { rule, policy } of decisions) sizeRules.inc({ rule, policy }, 0);
    },
    unknownSizeDecided: ({ rule, policy }) => sizeRules.inc({ rule, policy }),
    uploadStarted(operation) {
      inFlight[operation] += 1;
    },
    uploadUndeclared: (client) => undeclared.inc({ client }),
    uploadSettled(figures, isReframed) {
      const { operation, outcome, sizeSource, receivedBytes, durationSeconds } = figures;
      inFlight[operation] -= 1;
      totals.uploads[operation][outcome][sizeSource] += 1;
      duration.observe({ operation }, durationSeconds);
      if (outcome === "completed") size.observe({ operation }, receivedBytes);
      if (isReframed) reframed.inc({ operation });
      if (figures.verdict !== undefined) observed.inc({ verdict: figures.verdict });
      observeWaits(figures);
    },
  };
}

function createInFlight(make: MetricMakers): Record<Operation, number> {
  const inFlight = { file: 0, stage: 0 };
  make.gaugeBy("uploads_in_flight", "Uploads in progress", ["operation"], "sum", (gauge) => {
    for (const operation of OPERATIONS) gauge.set({ operation }, inFlight[operation]);
  });
  return inFlight;
}

/** @returns the uploads in flight. */
export type UploadsInFlight = () => readonly Pick<UploadView, "waitsFor">[];

export function watchUploads(make: MetricMakers, inFlight: UploadsInFlight): void {
  make.gaugeBy(
    "uploads_waiting",
    "Uploads in progress, by whom they wait for at the moment. The proxy itself must act for the others",
    ["for"],
    "sum",
    (gauge) => {
      for (const side of WAITS_FOR) gauge.set({ for: side }, 0);
      for (const { waitsFor } of inFlight()) if (waitsFor) gauge.inc({ for: waitsFor });
    },
  );
}

/** An upload that never waited is not observed: a refusal without a body would make a slow Glance look fast. */
function createWaitMetrics(make: MetricMakers): (figures: UploadFigures) => void {
  const histogram = (name: string, help: string): Histogram<"operation"> =>
    make.histogram(name, help, ["operation"], [0.01, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600]);
  const histograms: readonly (readonly [Wait, Histogram<"operation">])[] = [
    [
      "waitClient",
      histogram("upload_wait_client_seconds", "Time that an upload waited for the client to send"),
    ],
    [
      "waitGlance",
      histogram(
        "upload_wait_glance_seconds",
        "Time that an upload waited for Glance to connect, read or answer",
      ),
    ],
    [
      "lastByteToAnswer",
      histogram(
        "upload_last_byte_to_answer_seconds",
        "Time from the last byte of an upload to Glance's answer",
      ),
    ],
    [
      "spoolWrite",
      histogram("upload_spool_write_seconds", "Time that an upload waited for the spool to write"),
    ],
    ["spoolRead", histogram("upload_spool_read_seconds", "Time that an upload waited for the spool to read")],
  ];
  return (figures) => {
    for (const [wait, made] of histograms) {
      const seconds = figures[wait] ?? 0;
      if (seconds > 0) made.observe({ operation: figures.operation }, seconds);
    }
  };
}

function showTotals(make: MetricMakers, { uploads, received, forwarded }: Totals): void {
  make.countedElsewhere(
    "uploads_total",
    "Finished uploads, by outcome and by the source of their size",
    ["operation", "outcome", "size_source"],
    (counter) => {
      for (const operation of OPERATIONS) {
        for (const outcome of OUTCOMES) {
          for (const size_source of SIZE_SOURCES) {
            counter.inc({ operation, outcome, size_source }, uploads[operation][outcome][size_source]);
          }
        }
      }
    },
  );
  const showBytes = (name: string, help: string, bytes: Record<Operation, number>): void =>
    make.countedElsewhere(name, help, ["operation"], (counter) => {
      for (const operation of OPERATIONS) counter.inc({ operation }, bytes[operation]);
    });
  showBytes(
    "upload_received_bytes_total",
    "Bytes of image data read from clients, including bytes that were read only to be discarded after a refusal",
    received,
  );
  showBytes("upload_forwarded_bytes_total", "Bytes of image data sent to Glance", forwarded);
}

export interface SettlingMetrics {
  rollback(result: RollbackResult, seconds: number): void;
  /** Glance did not answer a completely sent upload, and the proxy has looked at the image. */
  answerRecovered(result: RecoveryResult): void;
  /** An upload was refused because it is the rest of an upload that had just failed. */
  replayRefused(): void;
}

export function createSettlingMetrics(make: MetricMakers): SettlingMetrics {
  const rollbacks = make.counterBy(
    "rollbacks_total",
    "Aborted uploads, by the state of the image afterwards",
    "result",
    ROLLBACK_RESULTS,
  );
  const rollbackDuration = make.histogram(
    "rollback_duration_seconds",
    "Time from the abort of an upload until its image was queued again or the proxy stopped checking",
    [],
    [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
  );
  const recoveredAnswers = make.counterBy(
    "recovered_answers_total",
    "Uploads sent completely but not answered by Glance, by the state of the image afterwards",
    "result",
    RECOVERY_RESULTS,
  );
  const replaysRefused = make.counter(
    "replays_refused_total",
    "Uploads refused because the client retried without rewinding its file",
  );
  return {
    rollback(result, seconds) {
      rollbacks.inc({ result });
      rollbackDuration.observe(seconds);
    },
    answerRecovered: (result) => recoveredAnswers.inc({ result }),
    replayRefused: () => replaysRefused.inc(),
  };
}

export interface SpoolMetrics {
  spoolFull(reason: SpoolBound): void;
  /** @param spool `maxBytes` is 0 if there is no limit. */
  watchSpool(spool: {
    readonly usedBytes: number;
    readonly uploads: number;
    readonly maxBytes: number;
  }): void;
}

export function createSpoolMetrics(make: MetricMakers): SpoolMetrics {
  const full = make.counterBy(
    "spool_full_total",
    "Times a limit of the spool was reached, by limit",
    "reason",
    SPOOL_BOUNDS,
  );
  return {
    spoolFull: (reason) => full.inc({ reason }),
    watchSpool(spool) {
      make.gauge("spool_bytes", "Bytes of image data in the spool", "sum", () => spool.usedBytes);
      make.gauge("spool_uploads", "Uploads with data in the spool", "sum", () => spool.uploads);
      // The alert divides the bytes by the limit. Without a limit the metric is absent, so the alert has no value.
      const help = "Maximum bytes in the spool (spool.maxTotal)";
      make.gaugeBy("spool_limit_bytes", help, [], "first", (gauge) => {
        if (spool.maxBytes > 0) gauge.set(spool.maxBytes);
        else gauge.remove();
      });
    },
  };
}
