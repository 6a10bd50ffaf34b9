/**
 * The proxy as several processes: workers carry requests, and this one starts them, replaces those that die, and serves the
 * operators with the sum of them. It sees no request itself.
 */
import cluster, { type Worker } from "node:cluster";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { AggregatorRegistry } from "prom-client";
import { z } from "zod";
import { createAdminServer } from "../admin/server.js";
import { nameInstance } from "../http/forwarded-headers.js";
import { configSchema, type Config } from "../config/schema.js";
import { MAX_TIMER_MS } from "../config/values.js";
import { ListenError } from "../http/listener.js";
import type { Listening, ProxyServer } from "../client/server.js";
import type { Log } from "../observe/log.js";
import type { LogOutput } from "../observe/log-output.js";
import type { Metrics, MetricSamples } from "../observe/metrics.js";
import { readLines } from "../observe/read-lines.js";
import { createTotals, sumTotals } from "../observe/totals.js";
import { createUploadsRegistry, findRival, type UploadView } from "../observe/uploads-registry.js";
import { createUpstream } from "../upstream/upstream.js";
import { createQuotas } from "../upload/quotas.js";
import { createReplayMemory } from "../upload/replay-memory.js";
import { createWorkerHandle, type WorkerHandle } from "./worker-handle.js";

/** How old a dead worker's figures may be; more of what it did is not known. */
const REFRESH_INTERVAL_MS = 1_000;

/** A worker that lived shorter is not replaced at once: what killed it may kill the next. */
const SHORT_LIFE_MS = 5_000;
const RESTART_DELAY_MS = 1_000;

/** A worker ends by itself when its time is over; one that hangs has so much longer. */
const END_DELAY_MS = 5_000;

export interface PrimaryObservers {
  readonly log: Log;
  /** Where `log` and the workers' logs go. */
  readonly output: LogOutput;
  /** Of what this process sees itself: Glance, its log, and the uploads of workers that died. */
  readonly metrics: Metrics;
}

/** @throws ConfigError where a TLS file cannot be used. */
export function createCluster(
  config: Config,
  count: number,
  { log, output, metrics }: PrimaryObservers,
): ProxyServer {
  cluster.setupPrimary({
    exec: fileURLToPath(new URL("../worker.js", import.meta.url)),
    args: [],
    // Through this process: a child that inherits them would make them blocking for all, and so would its end. Its standard
    // input comes along, which may be the same terminal.
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    serialization: "advanced",
  });
  const options = { config: z.encode(configSchema, config), instance: nameInstance() };
  const upstream = createUpstream(config.upstream);
  const quotas = createQuotas(config);
  const replays = createReplayMemory(config.replay.window);
  const ended = createUploadsRegistry();
  const remember = (upload: UploadView): void => ended.finish({ view: () => upload });
  const workers = new Set<WorkerHandle>();
  /** What workers that are gone have counted: counters never go back. */
  let counted: readonly MetricSamples[] = [];
  let countedTotals = createTotals();
  let ending = false;

  const refresh = async (): Promise<void> => {
    await Promise.all([...workers].map((worker) => worker.refresh()));
  };
  const admin = createAdminServer({
    config,
    upstream,
    log,
    metrics,
    lastActivity: () =>
      Math.max(upstream.lastActivity(), ...[...workers].map((worker) => worker.lastActivity)),
    isListening: () => [...workers].some((worker) => worker.isListening),
    workers: () => workers.size,
    async scrape() {
      const [own] = await Promise.all([metrics.registry.getMetricsAsJSON(), refresh()]);
      return sum([own, counted, ...[...workers].map((worker) => worker.metrics)]).metrics();
    },
    async uploads() {
      await refresh();
      const inFlight = [...workers].flatMap((worker) => [...worker.inFlight.values()]);
      return { inFlight, finished: ended.snapshot().finished };
    },
    totals: () => sumTotals([metrics.totals, countedTotals, ...[...workers].map((worker) => worker.totals)]),
  });
  const refreshing = setInterval(() => void refresh(), REFRESH_INTERVAL_MS);

  /** One that cannot be started is tried again: what it lacks (a file, a directory, memory) may come back. */
  async function startWorker(): Promise<Listening> {
    const worker = createWorkerHandle(fork(), options, quotas, replays, hasRival, remember);
    workers.add(worker);
    void worker.gone.then((how) => bury(worker, how));
    try {
      return await worker.listening;
    } catch (error) {
      worker.kill();
      throw error;
    }
  }

  function fork(): Worker {
    try {
      const child = cluster.fork();
      // They are absent if there was no descriptor left for them; then there is no process either.
      const { stdout, stderr } = child.process;
      if (stdout) readLines(stdout, (line) => output.write(line));
      stderr?.on("data", (text: Buffer) => process.stderr.write(text));
      return child;
    } catch (error) {
      replace(RESTART_DELAY_MS);
      throw error;
    }
  }

  function replace(delayMs: number): void {
    if (ending) return;
    setTimeout(() => {
      if (ending) return;
      startWorker().catch((error: unknown) => {
        log.error({ reason: (error as Error).message }, "a worker cannot start, retrying");
      });
    }, delayMs);
  }

  function hasRival(imageId: string, ageSeconds: number): boolean {
    const inFlight = [...workers].flatMap((worker) => [...worker.inFlight.values()]);
    return findRival({ inFlight, finished: ended.snapshot().finished }, imageId, ageSeconds);
  }

  async function bury(worker: WorkerHandle, how: string): Promise<void> {
    workers.delete(worker);
    const counters = worker.metrics.filter(({ type }) => String(type) !== "gauge");
    countedTotals = sumTotals([countedTotals, worker.totals]);
    counted = await sum([counted, counters]).getMetricsAsJSON();
    for (const [number, upload] of worker.inFlight) settle(upload, worker.elapsedSeconds(number));
    if (ending) return;
    if (worker.isListening)
      log.error({ pid: worker.pid, how, uploads: worker.inFlight.size }, "a worker died and is replaced");
    replace(performance.now() - worker.startedAt < SHORT_LIFE_MS ? RESTART_DELAY_MS : 0);
  }

  /** Counts and logs an upload whose worker died: nobody else is left to do so. */
  function settle(upload: UploadView, durationSeconds: number): void {
    const { operation, sizeSource: source, receivedBytes } = upload;
    const outcome = "upstream_error";
    metrics.uploadStarted(operation);
    metrics.uploadSettled({ operation, outcome, source, receivedBytes, durationSeconds, reframed: false });
    const view = { ...upload, durationSeconds, outcome } as const;
    remember(view);
    log.info({ ...view, reason: "The worker process of this upload died." }, "upload");
  }

  function end(): void {
    ending = true;
    clearInterval(refreshing);
  }

  // What a worker says when it crashes may have no reader; that must not end the others.
  process.stderr.on("error", () => undefined);

  /** When no worker has anything left to do, after being told to end. */
  function latest(drainMs: number): number {
    return Math.min(drainMs + config.rollback.timeout + END_DELAY_MS, MAX_TIMER_MS);
  }

  const close = (): void => {
    end();
    for (const worker of workers) worker.kill();
    admin.close();
  };

  return {
    async start() {
      try {
        const others = Array.from({ length: count - 1 }, startWorker);
        const [listening] = await Promise.all([startWorker(), ...others]);
        return { ...listening, admin: await admin.listen() };
      } catch (error) {
        close();
        throw error instanceof ListenError ? error : new ListenError((error as Error).message);
      }
    },

    reload() {
      try {
        upstream.reload();
      } catch {
        // Each worker says so.
      }
      for (const worker of workers) worker.reload();
    },

    async drain(timeoutMs) {
      admin.startDraining();
      ending = true;
      for (const worker of workers) worker.drain(timeoutMs);
      const allGone = Promise.all([...workers].map((worker) => worker.gone));
      await (timeoutMs === 0
        ? allGone
        : Promise.race([allGone, delay(latest(timeoutMs), undefined, { ref: false })]));
      for (const worker of workers) worker.kill();
      await allGone;
      close();
    },

    close,
  };
}

function sum(
  processes: readonly (readonly MetricSamples[])[],
): ReturnType<typeof AggregatorRegistry.aggregate> {
  return AggregatorRegistry.aggregate(processes.map((metrics) => [...metrics]));
}
