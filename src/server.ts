/** The proxy as a server in one process: the listener for clients and the listener for operators. */
import type { Descriptors, Proxy } from "./admin/proxy-server.js";
import { adminNeedsStart, type AdminServer, createAdminServer } from "./admin/server.js";
import type { Config } from "./config/config.js";
import { collectFaults } from "./config/config-error.js";
import type { LoadedConfig } from "./config/load.js";
import { createHooks, type Hooks } from "./hooks/hooks.js";
import { nameInstance } from "./http/forwarded-headers.js";
import { differsInKind } from "./http/listener.js";
import type { Observers } from "./observe/observers.js";
import { Reloads } from "./observe/reloads.js";
import { serveClients } from "./serve-clients.js";
import { createQuotas, type LocalQuotas, resizeQuotas } from "./upload/quotas.js";
import { createReplayMemory, type LocalReplayMemory } from "./upload/replay-memory.js";
import type { Clients } from "./upload/serve-options.js";
import { createUpstream, renewUpstream, type Upstream } from "./upstream/upstream.js";
import { countWorkers } from "./workers/count-workers.js";

/** @throws ConfigError if a file or directory cannot be used. */
export function createServer(loaded: LoadedConfig, observers: Observers): Proxy {
  return new SingleProcess(loaded, observers);
}

class SingleProcess implements Proxy {
  readonly #setLogLevel: Observers["setLogLevel"];
  #upstream: Upstream;
  readonly #quotas: LocalQuotas;
  readonly #replays: LocalReplayMemory;
  readonly #clients: Clients;
  readonly #hooks: Hooks;
  readonly #admin: AdminServer;
  readonly #reloads: Reloads;

  constructor(loaded: LoadedConfig, observers: Observers) {
    const { config } = loaded;
    const { metrics, uploads, log } = observers;
    this.#setLogLevel = observers.setLogLevel;
    const upstream = createUpstream(config.upstream);
    this.#upstream = upstream;
    const quotas = createQuotas(config);
    this.#quotas = quotas;
    const replays = createReplayMemory(config.replay.windowMs);
    this.#replays = replays;
    this.#clients = serveClients({ config, upstream, observers, quotas, replays, instance: nameInstance() });
    this.#hooks = createHooks(config.hooks, observers);
    this.#admin = createAdminServer({
      config,
      upstream,
      log,
      metrics,
      lastActivity: () => this.#upstream.activity.lastAt(),
      isListening: () => true,
      workers: () => 1,
      scrape: () => metrics.registry.metrics(),
      uploads: () => Promise.resolve(uploads.snapshot()),
      totals: () => metrics.totals,
    });
    this.#reloads = new Reloads({
      loaded,
      log,
      metrics: metrics.watchConfig(),
      needsStart,
      remedy: "restart the proxy, or send SIGUSR2 to replace it without a gap",
      apply: ({ config: next }) => this.#apply(next),
    });
  }

  get config(): Config {
    return this.#reloads.config;
  }

  async start(inherited: Descriptors = {}): ReturnType<Proxy["start"]> {
    const listening = await this.#clients.listen(inherited.listen);
    try {
      return { ...listening, admin: await this.#admin.listen(inherited.admin) };
    } catch (error) {
      this.#clients.close();
      throw error;
    }
  }

  reload(read?: () => LoadedConfig): ReturnType<Proxy["reload"]> {
    return this.#reloads.request(read);
  }

  descriptors(): Descriptors {
    return { listen: this.#clients.descriptor(), admin: this.#admin.descriptor() };
  }

  async retire(): Promise<void> {
    this.#admin.retire();
    await this.#clients.retire();
    await this.#hooks.drain();
  }

  async drain(timeoutMs: number): Promise<void> {
    this.#admin.startDraining();
    await this.#clients.drain(timeoutMs);
    await this.#hooks.drain();
    this.#admin.close();
  }

  close(): void {
    this.#clients.close();
    this.#hooks.close();
    this.#admin.close();
  }

  #apply(next: Config): void {
    let upstream = this.#upstream;
    const takeOver = collectFaults([
      () => {
        upstream = renewUpstream(upstream, this.config.upstream, next.upstream);
        return () => (this.#upstream = upstream);
      },
      () => this.#clients.prepareReload({ config: next, upstream }),
      () => this.#hooks.prepareReload(next.hooks),
      () => this.#admin.prepareReload(next, upstream),
    ]);
    for (const take of takeOver) take();
    resizeQuotas(this.#quotas, next);
    this.#replays.setWindow(next.replay.windowMs);
    this.#setLogLevel?.(next.log.level);
  }
}

/** What one process cannot change while it listens. */
function needsStart(key: string, before: Config, after: Config): boolean {
  switch (key) {
    case "listen.address":
    case "upload.relay":
      return true;
    case "workers":
      return countWorkers(after) > 1;
    default:
      if (key.startsWith("listen.tls.")) return differsInKind(before.listen.tls, after.listen.tls);
      return adminNeedsStart(key, before, after);
  }
}
