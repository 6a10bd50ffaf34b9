/** The proxy as a server in one process: the listener for clients and the listener for operators. */
import { createAdminServer } from "./admin/server.js";
import type { ProxyServer } from "./client/server.js";
import type { Config } from "./config/config.js";
import { createHooks } from "./hooks/hooks.js";
import { nameInstance } from "./http/forwarded-headers.js";
import type { Observers } from "./observe/observers.js";
import { serveClients } from "./serve-clients.js";
import { createQuotas } from "./upload/quotas.js";
import { createReplayMemory } from "./upload/replay-memory.js";
import { createUpstream } from "./upstream/upstream.js";

/** @throws ConfigError if a file or directory cannot be used. */
export function createServer(config: Config, observers: Observers): ProxyServer {
  const { metrics, uploads, log } = observers;
  const upstream = createUpstream(config.upstream);
  const clients = serveClients({
    config,
    upstream,
    observers,
    quotas: createQuotas(config),
    replays: createReplayMemory(config.replay.windowMs),
    instance: nameInstance(),
  });
  const hooks = createHooks(config.hooks, observers);
  const admin = createAdminServer({
    config,
    upstream,
    log,
    metrics,
    lastActivity: () => upstream.lastActivity(),
    isListening: () => true,
    workers: () => 1,
    scrape: () => metrics.registry.metrics(),
    uploads: () => Promise.resolve(uploads.snapshot()),
    totals: () => metrics.totals,
  });

  return {
    async start() {
      const listening = await clients.listen();
      try {
        return { ...listening, admin: await admin.listen() };
      } catch (error) {
        clients.close();
        throw error;
      }
    },

    reload() {
      clients.reload();
      hooks?.reload();
    },

    async drain(timeoutMs) {
      admin.startDraining();
      await clients.drain(timeoutMs);
      await hooks?.drain();
      admin.close();
    },

    close() {
      clients.close();
      hooks?.close();
      admin.close();
    },
  };
}
