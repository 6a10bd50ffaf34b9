/**
 * The primary process of a proxy with several workers. It starts the workers, replaces a worker that dies, and serves the admin
 * address with the figures of all workers. It handles no client request.
 */
import cluster from "node:cluster";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Descriptors, Proxy } from "../admin/proxy-server.js";
import { adminNeedsStart, type AdminServer, createAdminServer } from "../admin/server.js";
import type { Config } from "../config/config.js";
import { collectFaults, ConfigError } from "../config/config-error.js";
import type { LoadedConfig } from "../config/load.js";
import { MAX_TIMER_MS } from "../config/values.js";
import { createHooks, type Hooks } from "../hooks/hooks.js";
import { nameInstance } from "../http/forwarded-headers.js";
import { ListenError, readListenerCredentials } from "../http/listener.js";
import type { LogOutput } from "../observe/log-output.js";
import type { Observers } from "../observe/observers.js";
import { Reloads } from "../observe/reloads.js";
import { createQuotas, type LocalQuotas, resizeQuotas } from "../upload/quotas.js";
import { createReplayMemory, type LocalReplayMemory } from "../upload/replay-memory.js";
import { createUpstream, renewUpstream, type Upstream } from "../upstream/upstream.js";
import { ClusterFigures } from "./cluster-figures.js";
import { countWorkers } from "./count-workers.js";
import { Crew, type Plan } from "./crew.js";
import { type SharedListener, watchSharedListener } from "./shared-listener.js";
import type { WorkerHandle } from "./worker-handle.js";

/** Maximum age of a dead worker's figures: what the worker did after its last report is not counted. */
const REFRESH_INTERVAL_MS = 1_000;

/** A worker exits by itself after its drain timeout. If it hangs, it is killed this much later. */
const END_DELAY_MS = 5_000;

/** `metrics`: those of this process, which are the state of Glance, the log, and the uploads of workers that died. */
export interface PrimaryObservers extends Omit<Observers, "uploads"> {
  /** The destination of `log` and of the workers' logs. */
  readonly output: LogOutput;
}

/** @throws ConfigError if a TLS file cannot be used. */
export function createCluster(loaded: LoadedConfig, observers: PrimaryObservers): Proxy {
  setUpPrimary();
  return new Cluster(loaded, observers, watchSharedListener());
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

class Cluster implements Proxy {
  readonly #observers: PrimaryObservers;
  readonly #listener: SharedListener;
  readonly #instance = nameInstance();
  #upstream: Upstream;
  readonly #quotas: LocalQuotas;
  readonly #replays: LocalReplayMemory;
  readonly #workers = new Set<WorkerHandle>();
  readonly #crew: Crew;
  readonly #reloads: Reloads;
  readonly #hooks: Hooks;
  readonly #admin: AdminServer;
  readonly #refreshing: NodeJS.Timeout;

  constructor(loaded: LoadedConfig, observers: PrimaryObservers, listener: SharedListener) {
    const { config } = loaded;
    const { log, metrics, output } = observers;
    this.#observers = observers;
    this.#listener = listener;
    this.#upstream = createUpstream(config.upstream);
    this.#quotas = createQuotas(config);
    this.#replays = createReplayMemory(config.replay.windowMs);
    const workers = this.#workers;
    const figures = new ClusterFigures(workers, metrics, log);
    this.#hooks = createHooks(config.hooks, { log, metrics, uploads: figures });
    const services = {
      quotas: this.#quotas,
      replays: this.#replays,
      hasRival: figures.hasRival.bind(figures),
      onFinished: figures.remember.bind(figures),
    };
    this.#crew = new Crew({ workers, plan: this.#plan(loaded), services, figures, log, output });
    this.#admin = createAdminServer({
      config,
      upstream: this.#upstream,
      log,
      metrics,
      lastActivity: () => this.#lastActivity(),
      isListening: () => this.#crew.isListening,
      workers: () => this.#crew.size,
      scrape: () => figures.scrape(),
      uploads: () => figures.uploads(),
      totals: () => figures.totals(),
    });
    this.#reloads = new Reloads({
      loaded,
      log,
      metrics: metrics.watchConfig(() => this.#crew.retired),
      needsStart: (key, before, after) => key === "listen.address" || adminNeedsStart(key, before, after),
      remedy: "restart the proxy",
      apply: (next) => this.#apply(next),
    });
    this.#refreshing = setInterval(() => void figures.refresh(), REFRESH_INTERVAL_MS);
  }

  get config(): Config {
    return this.#reloads.config;
  }

  async start(inherited: Descriptors = {}): ReturnType<Proxy["start"]> {
    try {
      const listening = await this.#crew.start(inherited.listen);
      return { ...listening, admin: await this.#admin.listen(inherited.admin) };
    } catch (error) {
      this.close();
      throw error instanceof ListenError ? error : new ListenError((error as Error).message);
    }
  }

  reload(read?: () => LoadedConfig): ReturnType<Proxy["reload"]> {
    return this.#reloads.request(read);
  }

  descriptors(): Descriptors {
    return { listen: this.#listener.descriptor(), admin: this.#admin.descriptor() };
  }

  async retire(): Promise<void> {
    this.#crew.stopReplacing();
    this.#admin.retire();
    // With its last worker, Node's cluster module would drop the connections that no worker has yet.
    this.#listener.close();
    await this.#crew.untilHandedOver();
    await this.#crew.retireAll();
    await this.#hooks.drain();
    this.close();
  }

  async drain(timeoutMs: number): Promise<void> {
    this.#admin.startDraining();
    this.#crew.stopReplacing();
    for (const worker of this.#workers) worker.drain(timeoutMs);
    const allGone = this.#crew.gone();
    await (timeoutMs === 0
      ? allGone
      : Promise.race([allGone, delay(this.#killDelayMs(timeoutMs), undefined, { ref: false })]));
    for (const worker of this.#workers) worker.kill();
    await allGone;
    await this.#hooks.drain();
    this.close();
  }

  close(): void {
    this.#crew.stopReplacing();
    clearInterval(this.#refreshing);
    for (const worker of this.#workers) worker.kill();
    this.#hooks.close();
    this.#admin.close();
  }

  #plan({ config, written }: LoadedConfig): Plan {
    return { count: countWorkers(config), options: { config: written, instance: this.#instance } };
  }

  async #apply(next: LoadedConfig): Promise<void> {
    const { config } = next;
    let upstream = this.#upstream;
    const takeOver = collectFaults([
      () => {
        upstream = renewUpstream(upstream, this.config.upstream, config.upstream);
        return () => (this.#upstream = upstream);
      },
      () => this.#hooks.prepareReload(config.hooks),
      () => this.#admin.prepareReload(config, upstream),
      // The workers use these files. A fault is found here before any worker starts.
      () => void readListenerCredentials("listen", config.listen.tls),
    ]);
    await this.#crew.renew(this.#plan(next)).catch((error: unknown) => {
      throw new ConfigError((error as Error).message.split("\n"));
    });
    for (const take of takeOver) take?.();
    resizeQuotas(this.#quotas, config);
    this.#replays.setWindow(config.replay.windowMs);
    this.#observers.setLogLevel?.(config.log.level);
  }

  #lastActivity(): number {
    const workers = [...this.#workers].map(({ lastActivity }) => lastActivity);
    return Math.max(this.#upstream.activity.lastAt(), ...workers);
  }

  /** @returns how long after the start of a drain a worker that still runs is killed, milliseconds. */
  #killDelayMs(drainMs: number): number {
    return Math.min(drainMs + 2 * this.config.rollback.timeoutMs + END_DELAY_MS, MAX_TIMER_MS);
  }
}
