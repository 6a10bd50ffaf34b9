/** One worker process, as the primary process knows it. */
import type { Serializable } from "node:child_process";
import type { Worker } from "node:cluster";
import { setTimeout as delay } from "node:timers/promises";
import { type BirpcReturn, createBirpc } from "birpc";
import type { Listening } from "../client/server.js";
import type { MetricSamples } from "../observe/metrics.js";
import { createTotals, type Totals } from "../observe/totals.js";
import type { UploadView } from "../observe/uploads-registry.js";
import type { LocalQuotas } from "../upload/quotas.js";
import type { ReplayMemory } from "../upload/replay-memory.js";
import type { PrimaryCalls, WorkerCalls, WorkerOptions, WorkerReport, WorkerStart } from "./calls.js";

/** If a worker does not report within this time, its last report stays in use. */
const REPORT_TIMEOUT_MS = 2_000;

/** A worker that does not answer for so long hangs, and accepts no connection either. */
const RETIRE_TIMEOUT_MS = 2_000;

export interface WorkerHandle {
  readonly pid: number;
  /** Milliseconds on the clock of `performance.now()`. */
  readonly startedAt: number;
  /** By the worker's number of the upload. */
  readonly inFlight: ReadonlyMap<number, UploadView>;
  /** @returns seconds since the primary heard of an upload that is in flight. */
  elapsedSeconds(upload: number): number;
  /**
   * The earliest time at which Glance can last have sent or read a byte for this worker, on the clock of `performance.now()`.
   * -Infinity if Glance never did.
   */
  readonly lastActivity: number;
  /** From the last report. */
  readonly metrics: readonly MetricSamples[];
  /** From the last report. */
  readonly totals: Totals;
  /** Resolves with the address on which the worker listens. Rejects if the worker cannot listen, or dies before. */
  readonly listening: Promise<Listening>;
  /** False again when the worker accepts no more connections. */
  readonly isListening: boolean;
  /** Whether the worker has ever listened. */
  readonly hasListened: boolean;
  /** Connections accepted until the last report. */
  readonly connections: number;
  /** Asks the worker for a report. Never rejects. */
  refresh(): Promise<void>;
  /** As {@link WorkerCalls.retire}. Resolves when the worker gets no more connections. Never rejects. */
  retire(): Promise<void>;
  /** As {@link WorkerCalls.drain}. */
  drain(timeoutMs: number): void;
  kill(): void;
  /**
   * Resolves with the exit code, signal or error when the process has ended or could not be started, after its reserved quotas
   * are released. Never rejects.
   */
  readonly gone: Promise<string>;
}

/** What the primary process does for every worker. */
export interface WorkerServices {
  readonly options: WorkerOptions;
  readonly quotas: LocalQuotas;
  readonly replays: ReplayMemory;
  readonly hasRival: PrimaryCalls["hasRival"];
  /** Called with each upload that ends. */
  readonly onFinished: (upload: UploadView) => void;
}

export function createWorkerHandle(child: Worker, services: WorkerServices): WorkerHandle {
  return new ChildHandle(child, services);
}

class ChildHandle implements WorkerHandle {
  readonly pid: number;
  readonly startedAt = performance.now();
  readonly inFlight = new Map<number, UploadView>();
  readonly listening: Promise<Listening>;
  readonly gone: Promise<string>;
  lastActivity = -Infinity;
  metrics: readonly MetricSamples[] = [];
  totals = createTotals();
  isListening = false;
  hasListened = false;
  connections = 0;
  readonly #child: Worker;
  readonly #services: WorkerServices;
  readonly #worker: BirpcReturn<WorkerCalls, PrimaryCalls>;
  /**
   * When the primary heard of each upload in flight, on the clock of `performance.now()`. The view's own `startedAt` is wall-clock
   * time, which can be set.
   */
  readonly #begun = new Map<number, number>();
  readonly #reserved = { uploads: 0, spool: 0 };
  /** False until the worker's first call: Node delivers an earlier message to `cluster` alone. */
  #hears = false;

  constructor(child: Worker, services: WorkerServices) {
    this.#child = child;
    this.#services = services;
    this.pid = child.process.pid ?? 0;
    let onStarted: (start: WorkerStart) => void = () => undefined;
    const started = new Promise<WorkerStart>((resolve) => {
      onStarted = resolve;
    });
    this.#worker = createBirpc(this.#calls(onStarted), {
      // If the worker is exiting, the message is lost. `gone` reports the exit.
      post: (message: Serializable) => void child.send(message, () => undefined),
      on: (listener) => child.on("message", listener),
      eventNames: ["drain"],
      timeout: -1,
    });
    child.once("disconnect", () => (this.isListening = false));
    this.gone = endOf(child).then((how) => {
      this.#worker.$close(new Error(`the worker ended with ${how}`));
      for (const what of ["uploads", "spool"] as const) services.quotas[what].release(this.#reserved[what]);
      return how;
    });
    const died = this.gone.then((how): WorkerStart => ({ fault: `the worker ended with ${how}` }));
    this.listening = Promise.race([started, died]).then((start) => {
      if ("fault" in start) throw new Error(start.fault);
      this.isListening = true;
      this.hasListened = true;
      return start;
    });
  }

  elapsedSeconds(upload: number): number {
    const now = performance.now();
    return (now - (this.#begun.get(upload) ?? now)) / 1000;
  }

  async refresh(): Promise<void> {
    if (!this.#hears) return;
    const late = delay(REPORT_TIMEOUT_MS, undefined, { ref: false });
    const askedAt = performance.now();
    const report = await Promise.race([this.#worker.report(), late]).catch(() => undefined);
    if (!report) return;
    this.#take(report);
    // `idleMs` counts back from the time of the request, not of the answer: a slow report must not make old activity look new.
    this.lastActivity = Math.max(this.lastActivity, askedAt - report.idleMs);
  }

  async retire(): Promise<void> {
    this.isListening = false;
    if (!this.#hears) return this.kill();
    const late = delay(RETIRE_TIMEOUT_MS, undefined, { ref: false });
    await Promise.race([this.#worker.retire(), late]).catch(() => undefined); // rejects if the worker has ended
  }

  drain(timeoutMs: number): void {
    this.isListening = false;
    if (this.#hears) void this.#worker.drain(timeoutMs);
    else this.kill();
  }

  kill(): void {
    this.#child.process.kill("SIGKILL");
  }

  #take(report: WorkerReport): void {
    this.metrics = report.metrics;
    this.totals = report.totals;
    this.connections = report.connections;
    for (const [number, upload] of report.inFlight)
      if (this.inFlight.has(number)) this.inFlight.set(number, upload);
  }

  #calls(onStarted: (start: WorkerStart) => void): PrimaryCalls {
    const { options, quotas, replays, hasRival, onFinished } = this.#services;
    return {
      options: () => {
        this.#hears = true;
        return options;
      },
      started: onStarted,
      reserve: (what, amount) => {
        const granted = quotas[what].reserveUpTo(amount);
        this.#reserved[what] += granted;
        return granted;
      },
      take: (what, amount) => {
        this.#reserved[what] += amount;
        quotas[what].take(amount);
      },
      release: (what, amount) => {
        this.#reserved[what] -= amount;
        quotas[what].release(amount);
      },
      hasRival,
      rememberReplay: (replayKey, body) => replays.remember({ replayKey }, body),
      recallReplay: (replayKey) => replays.recall({ replayKey }),
      forgetReplay: (replayKey) => replays.forget({ replayKey }),
      uploadStarted: (number, upload) => {
        this.inFlight.set(number, upload);
        this.#begun.set(number, performance.now());
      },
      uploadFinished: (number, upload) => {
        this.inFlight.delete(number);
        this.#begun.delete(number);
        onFinished(upload);
      },
      drained: (report) => this.#take(report),
    };
  }
}

/**
 * Resolves with the exit code or signal when the process has ended, or with the error if no process could be started. Never
 * rejects.
 */
function endOf(child: Worker): Promise<string> {
  return new Promise((resolve) => {
    // All messages and output of the worker have arrived only when both its channel and its pipes are closed.
    let how: string | undefined;
    let disconnected = false;
    const settle = (): void => {
      if (how !== undefined && disconnected) resolve(how);
    };
    child.process.once("close", (code, signal) => {
      // Either the code or the signal is null.
      how = String(signal ?? code);
      settle();
    });
    child.once("disconnect", () => {
      disconnected = true;
      settle();
    });
    // An error without a listener would end this process and all workers.
    child.on("error", (error) => {
      if (child.process.pid === undefined) resolve(error.message);
    });
  });
}
