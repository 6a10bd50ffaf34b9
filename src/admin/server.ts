/** The admin address, for a proxy of one process and of several. */
import type { Config } from "../config/config.js";
import { createListener } from "../http/listener.js";
import type { Log } from "../observe/log.js";
import type { Metrics } from "../observe/metrics.js";
import { type Totals, uploadTotals } from "../observe/totals.js";
import type { UploadsSnapshot } from "../observe/uploads-registry.js";
import type { Upstream } from "../upstream/upstream.js";
import { createAdminApp } from "./app.js";
import { createGlanceWatch } from "./glance-watch.js";
import { createReadiness } from "./readiness.js";

/** Time that requests in progress have after `retire`, milliseconds. */
const LAST_ANSWERS_MS = 5_000;

export interface AdminServerOptions {
  readonly config: Config;
  readonly upstream: Upstream;
  readonly log: Log;
  /** The metrics of this process. The state of Glance is added to them. */
  readonly metrics: Metrics;
  /** As {@link GlanceWatchOptions.lastActivity}. */
  readonly lastActivity: () => number;
  /** Whether clients can connect. */
  readonly isListening: () => boolean;
  /** @returns the number of processes that serve requests. */
  readonly workers: () => number;
  /** @returns all metrics in the text format of Prometheus. */
  readonly scrape: () => Promise<string>;
  readonly uploads: () => Promise<UploadsSnapshot>;
  readonly totals: () => Totals;
}

export interface AdminServer {
  /** @returns the URL. @param descriptor as in `Listener.listen`. @throws ListenError if the address cannot be used. */
  listen(descriptor?: number): Promise<string>;
  /** @returns takes the options over for new requests. @throws ConfigError if a file cannot be used; then nothing has changed. */
  prepareReload(config: Config, upstream: Upstream): () => void;
  /** As in `Listener`. */
  descriptor(): number | undefined;
  /** Accepts no more connections, and ends the open ones when they have had time for their answers. */
  retire(): void;
  /** From now on, `/readyz` answers 503 with the status `draining`. */
  startDraining(): void;
  close(): void;
}

export function createAdminServer(options: AdminServerOptions): AdminServer {
  const { config, upstream, metrics, lastActivity, isListening, totals, ...sources } = options;
  const glance = createGlanceWatch({ upstream, silenceMs: config.readiness.silenceMs, lastActivity });
  const readiness = createReadiness(glance, isListening);
  metrics.watchUpstream(() => glance.look());
  const listener = createListener("admin.address", config.admin.address);
  const { server } = listener;
  server.on("request", createAdminApp({ ...sources, readiness, totals: () => uploadTotals(totals()) }));
  let current = config;
  return {
    descriptor: () => listener.descriptor(),
    listen: (descriptor) => listener.listen(descriptor),
    prepareReload: (next, nextUpstream) => () => {
      const isSameGlance = next.upstream.url.href === current.upstream.url.href;
      const { silenceMs } = next.readiness;
      glance.reload({ upstream: nextUpstream, silenceMs }, isSameGlance);
      current = next;
    },
    retire() {
      server.close();
      // The live page's streams never end by themselves. Their browsers connect to the new process.
      setTimeout(() => server.closeAllConnections(), LAST_ANSWERS_MS).unref();
    },
    startDraining: () => readiness.startDraining(),
    close() {
      server.close();
      server.closeAllConnections();
      glance.close();
    },
  };
}
