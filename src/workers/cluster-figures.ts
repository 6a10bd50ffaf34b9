/** The figures of all workers together: metrics, totals and uploads, including those of workers that have ended. */
import { AggregatorRegistry } from "prom-client";
import type { Log } from "../observe/log.js";
import type { Metrics, MetricSamples } from "../observe/metrics.js";
import { createTotals, sumTotals, type Totals } from "../observe/totals.js";
import {
  createUploadsRegistry,
  findRival,
  type UploadsSnapshot,
  type UploadView,
  type Viewed,
} from "../observe/uploads-registry.js";
import type { WorkerHandle } from "./worker-handle.js";

export class ClusterFigures {
  readonly #workers: ReadonlySet<WorkerHandle>;
  readonly #metrics: Metrics;
  readonly #log: Log;
  readonly #finished = createUploadsRegistry();
  /** The counters of workers that have ended: a counter must never decrease. */
  #endedMetrics: readonly MetricSamples[] = [];
  #endedTotals = createTotals();
  #burials = Promise.resolve();

  /**
   * @param workers the workers that run; the caller adds and removes them.
   * @param metrics the metrics of the primary process.
   */
  constructor(workers: ReadonlySet<WorkerHandle>, metrics: Metrics, log: Log) {
    this.#workers = workers;
    this.#metrics = metrics;
    this.#log = log;
  }

  /** Asks each worker for a report. Never rejects. */
  async refresh(): Promise<void> {
    await Promise.all([...this.#workers].map((worker) => worker.refresh()));
  }

  /** @returns all metrics in the text format of Prometheus. */
  async scrape(): Promise<string> {
    const [own] = await Promise.all([this.#metrics.registry.getMetricsAsJSON(), this.refresh()]);
    // The newest worker first: it has the configuration in force, and some gauges are those of the first process.
    const workers = [...this.#workers].reverse().map(({ metrics }) => metrics);
    return sum([own, ...workers, this.#endedMetrics]).metrics();
  }

  async uploads(): Promise<UploadsSnapshot> {
    await this.refresh();
    return this.#snapshot();
  }

  totals(): Totals {
    return sumTotals([
      this.#metrics.totals,
      this.#endedTotals,
      ...[...this.#workers].map(({ totals }) => totals),
    ]);
  }

  /** As {@link findRival}, over the uploads of all workers. */
  hasRival(imageId: string, ageSeconds: number): boolean {
    return findRival(this.#snapshot(), imageId, ageSeconds);
  }

  /** @param listener called with each upload that ends, also with those of a worker that died. */
  onFinish(listener: (upload: Viewed) => void): void {
    this.#finished.onFinish(listener);
  }

  /** Adds an upload to the finished uploads. */
  remember(upload: UploadView): void {
    this.#finished.finish({ view: () => upload });
  }

  /** Keeps the counters of a worker that has ended, and settles its uploads in flight. */
  bury(worker: WorkerHandle): Promise<void> {
    const counters = worker.metrics.filter(({ type }) => String(type) !== "gauge");
    this.#endedTotals = sumTotals([this.#endedTotals, worker.totals]);
    // One after the other: two at once would add to the same sum, and one would be lost.
    this.#burials = this.#burials.then(async () => {
      this.#endedMetrics = await sum([this.#endedMetrics, counters]).getMetricsAsJSON();
      for (const [number, upload] of worker.inFlight) this.#settle(upload, worker.elapsedSeconds(number));
    });
    return this.#burials;
  }

  /** Counts and logs an upload whose worker died: no other process does. */
  #settle(upload: UploadView, durationSeconds: number): void {
    const reason = "The worker process of this upload died.";
    const outcome = "upstream_error";
    const verdict = upload.verdict === "completed" ? outcome : upload.verdict;
    const view = { ...upload, durationSeconds, waitsFor: undefined, outcome, verdict, reason } as const;
    this.#metrics.uploadStarted(upload.operation);
    this.#metrics.uploadSettled(view, false);
    this.remember(view);
    this.#log.info(view, "upload");
  }

  #snapshot(): UploadsSnapshot {
    const inFlight = [...this.#workers].flatMap((worker) => [...worker.inFlight.values()]);
    return { inFlight, finished: this.#finished.snapshot().finished };
  }
}

function sum(
  processes: readonly (readonly MetricSamples[])[],
): ReturnType<typeof AggregatorRegistry.aggregate> {
  return AggregatorRegistry.aggregate(processes.map((metrics) => [...metrics]));
}
