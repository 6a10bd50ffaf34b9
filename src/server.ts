/** The proxy as a server of its own, in this process: the side that clients see, and the one that operators see. */
import { createAdminApp } from "./admin/app.js";
import { createGlanceWatch } from "./admin/glance-watch.js";
import { createReadiness } from "./admin/readiness.js";
import { nameInstance } from "./app.js";
import { createClientSide, type ClientSide, type Listening } from "./client/server.js";
import type { Config } from "./config/schema.js";
import { createListener } from "./http/listener.js";
import { readUploadMetrics, sumUploads } from "./observe/upload-totals.js";
import { createQuotas } from "./upload/quotas.js";
import { createUpstream } from "./upstream/upstream.js";
import { createReplayMemory } from "./upload/replay-memory.js";
import type { Observers } from "./upload/upload.js";

export interface ProxyServer extends Omit<ClientSide, "listen"> {
  /** Resolves when both addresses listen. @throws ListenError where one cannot: in use, not ours, not allowed. */
  start(): Promise<Listening & { readonly admin: string }>;
}

/** @throws ConfigError where a file or directory cannot be used. */
export function createServer(config: Config, observers: Observers): ProxyServer {
  const { metrics, uploads, log } = observers;
  const upstream = createUpstream(config.upstream);
  const quotas = createQuotas(config);
  const replays = createReplayMemory(config.replay.window);
  const clients = createClientSide({
    config,
    upstream,
    observers,
    quotas,
    replays,
    instance: nameInstance(),
  });
  const glance = createGlanceWatch({
    upstream,
    silenceMs: config.readiness.silence,
    lastActivity: () => upstream.lastActivity(),
  });
  const readiness = createReadiness(glance);
  metrics.watchUpstream(() => glance.look());
  const admin = createListener("admin.address", config.admin.address);
  admin.server.on(
    "request",
    createAdminApp({
      readiness,
      scrape: () => metrics.registry.metrics(),
      uploads: () => Promise.resolve(uploads.snapshot()),
      totals: async () => sumUploads(await readUploadMetrics(metrics.registry)),
      workers: () => 1,
      log,
    }),
  );
  const closeAdmin = (): void => {
    admin.server.close();
    admin.server.closeAllConnections();
    glance.close();
  };

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

    reload: () => clients.reload(),

    async drain(timeoutMs) {
      readiness.startDraining();
      await clients.drain(timeoutMs);
      closeAdmin();
    },

    close() {
      clients.close();
      closeAdmin();
    },
  };
}
