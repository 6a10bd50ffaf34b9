/**
 * The primary process of a proxy with several workers. It starts the workers, replaces a worker that dies, and serves the admin
 * address with the figures of all workers. It handles no client request.
 */
import cluster, { type Worker } from "node:cluster";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type AdminServer, createAdminServer } from "../admin/server.js";
import type { Listening, ProxyServer } from "../client/server.js";
import type { Config } from "../config/config.js";
import type { LoadedConfig } from "../config/load.js";
import { MAX_TIMER_MS } from "../config/values.js";
import { createHooks, type Hooks } from "../hooks/hooks.js";
import { nameInstance } from "../http/forwarded-headers.js";
import { ListenError } from "../http/listener.js";
import type { Log } from "../observe/log.js";
import type { LogOutput } from "../observe/log-output.js";
import type { Metrics } from "../observe/metrics.js";
import { readLines } from "../observe/read-lines.js";
import { createQuotas } from "../upload/quotas.js";
import { createReplayMemory } from "../upload/replay-memory.js";
import { createUpstream, type Upstream } from "../upstream/upstream.js";
import { ClusterFigures } from "./cluster-figures.js";
import { createWorkerHandle, type WorkerHandle, type WorkerServices } from "./worker-handle.js";

/** Maximum age of a dead worker's figures: what the worker did after its last report is not counted. */
const REFRESH_INTERVAL_MS = 1_000;

/** If a worker lived for less than this, its replacement starts after a delay: the same fault may kill the replacement. */
const SHORT_LIFE_MS = 5_000;
const RESTART_DELAY_MS = 1_000;

/** A worker exits by itself after its drain timeout. If it hangs, it is killed this much later. */
const END_DELAY_MS = 5_000;

export interface PrimaryObservers {
  readonly log: Log;
  /** The destination of `log` and of the workers' logs. */
  readonly output: LogOutput;
  /** The metrics of this process: the state of Glance, the log, and the uploads of workers that died. */
  readonly metrics: Metrics;
}

/**
 * @param count number of workers.
 * @throws ConfigError if a TLS file cannot be used.
 */
export function createCluster(loaded: LoadedConfig, count: number, observers: PrimaryObservers): ProxyServer {
  setUpPrimary();
  return new Cluster(loaded, count, observers);
}

function setUpPrimary(): void {
  cluster.setupPrimary({
    exec: fileURLToPath(new URL("../worker.js", import.meta.url)),
    args: [],
    // The workers' output goes through this process: if a child inherits the descriptor, the child's start and its end make
    // writes to the descriptor blocking for every process. Standard input can be the same terminal, so it is not inherited.
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    serialization: "advanced",
  });
  // The reader of a crashing worker's messages may be gone. That must not end the other workers.
  process.stderr.on("error", () => undefined);
}

class Cluster implements ProxyServer {
  readonly #config: Config;
  readonly #count: number;
  readonly #log: Log;
  readonly #output: LogOutput;
  readonly #upstream: Upstream;
  readonly #services: WorkerServices;
  readonly #workers = new Set<WorkerHandle>();
  readonly #figures: ClusterFigures;
  readonly #hooks: Hooks | undefined;
  readonly #admin: AdminServer;
  readonly #refreshing: NodeJS.Timeout;
  #ending = false;

  constructor({ config, written }: LoadedConfig, count: number, { log, output, metrics }: PrimaryObservers) {
    this.#config = config;
    this.#count = count;
    this.#log = log;
    this.#output = output;
    this.#upstream = createUpstream(config.upstream);
    const figures = new ClusterFigures(this.#workers, metrics, log);
    this.#figures = figures;
    this.#hooks = createHooks(config.hooks, { log, metrics, uploads: figures });
    this.#services = {
      options: { config: written, instance: nameInstance() },
      quotas: createQuotas(config),
      replays: createReplayMemory(config.replay.windowMs),
      hasRival: (imageId, ageSeconds) => figures.hasRival(imageId, ageSeconds),
      onFinished: (upload) => figures.remember(upload),
    };
    this.#admin = createAdminServer({
      config,
      upstream: this.#upstream,
      log,
      metrics,
      lastActivity: () => this.#lastActivity(),
      isListening: () => [...this.#workers].some(({ isListening }) => isListening),
      workers: () => this.#workers.size,
      scrape: () => figures.scrape(),
      uploads: () => figures.uploads(),
      totals: () => figures.totals(),
    });
    this.#refreshing = setInterval(() => void figures.refresh(), REFRESH_INTERVAL_MS);
  }

  async start(): ReturnType<ProxyServer["start"]> {
    try {
      const others = Array.from({ length: this.#count - 1 }, () => this.#startWorker());
      const [listening] = await Promise.all([this.#startWorker(), ...others]);
      return { ...listening, admin: await this.#admin.listen() };
    } catch (error) {
      this.close();
      throw error instanceof ListenError ? error : new ListenError((error as Error).message);
    }
  }

  reload(): void {
    try {
      this.#upstream.reload();
    } catch {
      // Each worker reads the same files and logs the fault.
    }
    for (const worker of this.#workers) worker.reload();
    this.#hooks?.reload();
  }

  async drain(timeoutMs: number): Promise<void> {
    this.#admin.startDraining();
    this.#ending = true;
    for (const worker of this.#workers) worker.drain(timeoutMs);
    const allGone = Promise.all([...this.#workers].map(({ gone }) => gone));
    await (timeoutMs === 0
      ? allGone
      : Promise.race([allGone, delay(this.#killDelayMs(timeoutMs), undefined, { ref: false })]));
    for (const worker of this.#workers) worker.kill();
    await allGone;
    await this.#hooks?.drain();
    this.close();
  }

  close(): void {
    this.#ending = true;
    clearInterval(this.#refreshing);
    for (const worker of this.#workers) worker.kill();
    this.#hooks?.close();
    this.#admin.close();
  }

  async #startWorker(): Promise<Listening> {
    const worker = createWorkerHandle(this.#fork(), this.#services);
    this.#workers.add(worker);
    void worker.gone.then((how) => this.#bury(worker, how));
    try {
      return await worker.listening;
    } catch (error) {
      worker.kill();
      throw error;
    }
  }

  /** If the fork fails, it is tried again later: the missing file, descriptor or memory may be available then. */
  #fork(): Worker {
    try {
      const child = cluster.fork();
      // Both are absent if no descriptor was free for them. Then there is no process either.
      const { stdout, stderr } = child.process;
      if (stdout) readLines(stdout, (line) => this.#output.write(line));
      stderr?.on("data", (text: Buffer) => process.stderr.write(text));
      return child;
    } catch (error) {
      this.#replace(RESTART_DELAY_MS);
      throw error;
    }
  }

  #replace(delayMs: number): void {
    if (this.#ending) return;
    setTimeout(() => {
      if (this.#ending) return;
      this.#startWorker().catch((error: unknown) => {
        this.#log.error({ reason: (error as Error).message }, "a worker cannot start, retrying");
      });
    }, delayMs);
  }

  async #bury(worker: WorkerHandle, how: string): Promise<void> {
    this.#workers.delete(worker);
    await this.#figures.bury(worker);
    if (this.#ending) return;
    if (worker.isListening) {
      const fields = { pid: worker.pid, how, uploads: worker.inFlight.size };
      this.#log.error(fields, "a worker died and is replaced");
    }
    this.#replace(performance.now() - worker.startedAt < SHORT_LIFE_MS ? RESTART_DELAY_MS : 0);
  }

  #lastActivity(): number {
    const workers = [...this.#workers].map(({ lastActivity }) => lastActivity);
    return Math.max(this.#upstream.lastActivity(), ...workers);
  }

  /** @returns how long after the start of a drain a worker that still runs is killed, milliseconds. */
  #killDelayMs(drainMs: number): number {
    return Math.min(drainMs + 2 * this.#config.rollback.timeoutMs + END_DELAY_MS, MAX_TIMER_MS);
  }
}
