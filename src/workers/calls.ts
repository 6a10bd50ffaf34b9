/** The calls between the primary process and its workers. */
import type { Listening } from "../client/server.js";
import type { ConfigInput } from "../config/schema.js";
import type { MetricSamples } from "../observe/metrics.js";
import type { Totals } from "../observe/totals.js";
import type { UploadView } from "../observe/uploads-registry.js";
import type { Quotas } from "../upload/quotas.js";
import type { ExhaustedBody } from "../upload/replay-memory.js";

/** What a worker must know to start. */
export interface WorkerOptions {
  /** The effective configuration in the form of the configuration file. */
  readonly config: ConfigInput;
  readonly instance: string;
  /** Number of an open descriptor of the primary process that listens for clients. If absent, the worker uses `listen.address`. */
  readonly descriptor?: number | undefined;
}

/** The worker numbers its uploads: a request id cannot identify an upload, because clients choose request ids. */
export type NumberedUpload = readonly [number: number, view: UploadView];

export interface WorkerReport {
  readonly metrics: MetricSamples[];
  readonly totals: Totals;
  readonly inFlight: readonly NumberedUpload[];
  /** Connections accepted since the start. */
  readonly connections: number;
  /**
   * Milliseconds since Glance last sent or read a byte for this worker; Infinity if Glance never did. A duration, because
   * `performance.now()` starts at 0 in each process.
   */
  readonly idleMs: number;
}

/** What the primary calls in a worker. */
export interface WorkerCalls {
  report(): Promise<WorkerReport>;
  /** As {@link ClientServer.retire}, but returns at once. The worker exits afterwards. */
  retire(): void;
  /** As {@link ClientServer.drain}. The worker exits afterwards. */
  drain(timeoutMs: number): void;
}

/** The address on which a worker listens, or the reason why it cannot listen. */
export type WorkerStart = Listening | { readonly fault: string };

/** What a worker calls in the primary. */
export interface PrimaryCalls {
  /** The first call of every worker. */
  options(): WorkerOptions;
  started(start: WorkerStart): void;
  /** @returns how much of `amount` the worker may use. */
  reserve(what: keyof Quotas, amount: number): number;
  /** Counts an amount that is used whatever the limit is. */
  take(what: keyof Quotas, amount: number): void;
  release(what: keyof Quotas, amount: number): void;
  hasRival(imageId: string, ageSeconds: number): boolean;
  rememberReplay(key: string, body: ExhaustedBody): void | Promise<void>;
  recallReplay(key: string): ExhaustedBody | undefined | Promise<ExhaustedBody | undefined>;
  forgetReplay(key: string): ExhaustedBody | undefined | Promise<ExhaustedBody | undefined>;
  uploadStarted(...upload: NumberedUpload): void;
  uploadFinished(...upload: NumberedUpload): void;
  /** The last call of every worker. The worker exits when the primary has received the report. */
  drained(report: WorkerReport): void;
}
