/** One worker, as its primary knows it. */
import type { Listening } from "../client/server.js";
import type { Serializable } from "node:child_process";
import type { Worker } from "node:cluster";
import { setTimeout as delay } from "node:timers/promises";
import { createBirpc, type BirpcReturn } from "birpc";
import type { MetricSamples } from "../observe/metrics.js";
import { createTotals, type Totals } from "../observe/totals.js";
import type { UploadView } from "../observe/uploads-registry.js";
import type { Quotas } from "../upload/quotas.js";
import type { ReplayMemory } from "../upload/replay-memory.js";
import type { PrimaryCalls, WorkerCalls, WorkerOptions, WorkerReport, WorkerStart } from "./calls.js";
import type { LocalQuota } from "../upload/spool/quota.js";

/** A worker that does not report in time is shown as it was last seen. */
const REPORT_TIMEOUT_MS = 2_000;

export interface WorkerHandle {
  readonly pid: number;
  /** On the clock of `performance.now()`, milliseconds. */
  readonly startedAt: number;
  readonly inFlight: ReadonlyMap<number, UploadView>;
  /** How long it has carried an upload that is in flight, seconds. */
  elapsedSeconds(upload: number): number;
  /** When Glance last did something for this worker, at the earliest; on the clock of `performance.now()`. -Infinity if never. */
  readonly lastActivity: number;
  /** As last reported. */
  readonly metrics: readonly MetricSamples[];
  /** As last reported. */
  readonly totals: Totals;
  /** Where it listens. Rejects where it cannot, or dies before it does. */
  readonly listening: Promise<Listening>;
  readonly isListening: boolean;
  /** Brings the figures up to date. Never throws. */
  refresh(): Promise<void>;
  reload(): void;
  drain(timeoutMs: number): void;
  kill(): void;
  /** Resolves when the process is gone, or could not be made, and what it had reserved is given back. Never rejects. */
  readonly gone: Promise<string>;
}

/** @param onFinished is told of each upload that ends. */
export function createWorkerHandle(
  child: Worker,
  options: WorkerOptions,
  quotas: Record<keyof Quotas, LocalQuota>,
  replays: ReplayMemory,
  hasRival: PrimaryCalls["hasRival"],
  onFinished: (upload: UploadView) => void,
): WorkerHandle {
  const inFlight = new Map<number, UploadView>();
  /** When each of these was heard of, on the clock of `performance.now()`. What a view says of its beginning is for people. */
  const begun = new Map<number, number>();
  const reserved = { uploads: 0, spool: 0 };
  let metrics: readonly MetricSamples[] = [];
  let totals = createTotals();
  let lastActivity = -Infinity;
  /** What is sent before, nobody reads: Node gives it to `cluster` alone. */
  let hears = false;
  let isListening = false;

  const take = (report: WorkerReport): void => {
    ({ metrics, totals } = report);
    for (const [number, upload] of report.inFlight) if (inFlight.has(number)) inFlight.set(number, upload);
  };
  let onStarted: (start: WorkerStart) => void;
  const started = new Promise<WorkerStart>((resolve) => {
    onStarted = resolve;
  });
  const calls: PrimaryCalls = {
    options() {
      hears = true;
      return options;
    },
    started: (start) => onStarted(start),
    reserve(what, amount) {
      const granted = quotas[what].reserveUpTo(amount);
      reserved[what] += granted;
      return granted;
    },
    release(what, amount) {
      reserved[what] -= amount;
      quotas[what].release(amount);
    },
    hasRival,
    rememberReplay: (key, body) => replays.remember(key, body),
    recallReplay: (key) => replays.recall(key),
    forgetReplay: (key) => replays.forget(key),
    uploadStarted(number, upload) {
      inFlight.set(number, upload);
      begun.set(number, performance.now());
    },
    uploadFinished(number, upload) {
      inFlight.delete(number);
      begun.delete(number);
      onFinished(upload);
    },
    drained: take,
  };
  const worker: BirpcReturn<WorkerCalls, PrimaryCalls> = createBirpc(calls, {
    // To a worker that is going the message is lost, and its `gone` says so.
    post: (message: Serializable) => void child.send(message, () => undefined),
    on: (listener) => child.on("message", listener),
    eventNames: ["reload", "drain"],
    timeout: -1,
  });
  const gone = endOf(child).then((how) => {
    worker.$close(new Error(`the worker ended with ${how}`));
    for (const what of ["uploads", "spool"] as const) quotas[what].release(reserved[what]);
    return how;
  });

  const died = gone.then((how): WorkerStart => ({ fault: `the worker ended with ${how}` }));
  const listening = Promise.race([started, died]).then((start) => {
    if ("fault" in start) throw new Error(start.fault);
    isListening = true;
    return start;
  });

  const kill = (): void => void child.process.kill("SIGKILL");
  return {
    pid: child.process.pid ?? 0,
    startedAt: performance.now(),
    inFlight,
    elapsedSeconds: (upload) => (performance.now() - (begun.get(upload) ?? performance.now())) / 1000,
    get lastActivity() {
      return lastActivity;
    },
    get metrics() {
      return metrics;
    },
    get totals() {
      return totals;
    },
    listening,
    get isListening() {
      return isListening;
    },
    async refresh() {
      if (!hears) return;
      const late = delay(REPORT_TIMEOUT_MS, undefined, { ref: false });
      const askedAt = performance.now();
      const report = await Promise.race([worker.report(), late]).catch(() => undefined);
      if (!report) return;
      take(report);
      // From when it was asked for: a report that is long on its way must not make old activity look new.
      lastActivity = Math.max(lastActivity, askedAt - report.idleMs);
    },
    reload() {
      if (hears) void worker.reload();
    },
    drain(timeoutMs) {
      if (hears) void worker.drain(timeoutMs);
      else kill();
    },
    kill,
    gone,
  };
}

/** Resolves with how it ended; also where there never was a process, for want of memory or descriptors. Never rejects. */
function endOf(child: Worker): Promise<string> {
  return new Promise((resolve) => {
    // Only when its channel and its output are closed has everything been heard that it said.
    let how: string | undefined;
    let disconnected = false;
    const settle = (): void => {
      if (how !== undefined && disconnected) resolve(how);
    };
    child.process.once("close", (code, signal) => {
      // Node gives both as null for the other.
      how = String(signal ?? code);
      settle();
    });
    child.once("disconnect", () => {
      disconnected = true;
      settle();
    });
    // Without a listener an error would end this process, and with it all workers.
    child.on("error", (error) => {
      if (child.process.pid === undefined) resolve(error.message);
    });
  });
}
