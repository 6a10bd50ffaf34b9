/** What the primary process and its workers ask of each other. */
import type { Listening } from "../client/server.js";
import type { ConfigInput } from "../config/schema.js";
import type { MetricSamples } from "../observe/metrics.js";
import type { Totals } from "../observe/totals.js";
import type { UploadView } from "../observe/uploads-registry.js";
import type { Quotas } from "../upload/quotas.js";
import type { ExhaustedBody } from "../upload/replay-memory.js";

/** Of a worker, told once. */
export interface WorkerOptions {
  /** The effective configuration, as one would write it. */
  readonly config: ConfigInput;
  readonly instance: string;
}

/** An upload's number is its worker's: request ids are the clients'. */
export type NumberedUpload = readonly [number: number, view: UploadView];

export interface WorkerReport {
  readonly metrics: MetricSamples[];
  readonly totals: Totals;
  readonly inFlight: readonly NumberedUpload[];
  /** Milliseconds since Glance last did something for this worker; Infinity if never. Processes share no clock. */
  readonly idleMs: number;
}

/** What a worker does for its primary. */
export interface WorkerCalls {
  report(): Promise<WorkerReport>;
  reload(): void;
  /** The worker ends afterwards. */
  drain(timeoutMs: number): void;
}

/** Where a worker listens, or why it cannot. */
export type WorkerStart = Listening | { readonly fault: string };

/** What the primary does for its workers. */
export interface PrimaryCalls {
  /** The first that is heard of a worker. */
  options(): WorkerOptions;
  started(start: WorkerStart): void;
  /** @returns how much of that is now the worker's. */
  reserve(what: keyof Quotas, amount: number): number;
  release(what: keyof Quotas, amount: number): void;
  hasRival(imageId: string, ageSeconds: number): boolean;
  rememberReplay(key: string, body: ExhaustedBody): void | Promise<void>;
  recallReplay(key: string): ExhaustedBody | undefined | Promise<ExhaustedBody | undefined>;
  forgetReplay(key: string): void | Promise<void>;
  uploadStarted(...upload: NumberedUpload): void;
  uploadFinished(...upload: NumberedUpload): void;
  /** The last that is heard of a worker; it ends when it knows that it was heard. */
  drained(report: WorkerReport): void;
}
