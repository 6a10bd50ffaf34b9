/** The admin address, for a proxy of one process and of several. */
import type { Config } from "../config/config.js";
import { ConfigError } from "../config/config-error.js";
import { expiryOf } from "../http/credentials.js";
import { createListener, type Listener } from "../http/listener.js";
import type { Log } from "../observe/log.js";
import type { Metrics } from "../observe/metrics.js";
import { type Totals, uploadTotals } from "../observe/totals.js";
import type { UploadsSnapshot } from "../observe/uploads-registry.js";
import type { Upstream } from "../upstream/upstream.js";
import { createAdminApp } from "./app.js";
import { createGlanceWatch } from "./glance-watch.js";
import { createGuard, type Guard } from "./guard.js";
import { createReadiness } from "./readiness.js";

/**
 * A connection on which nothing moves for so long is closed, for example if it takes no event of the live page. Node may check twice
 * before it closes one.
 */
const STALL_TIMEOUT_MS = 10_000;

/** Host of a URL that only this machine can reach. */
const LOOPBACK = /^(127\.|\[::1\]$)/;

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
  /** @returns the URL. @throws ListenError if the address cannot be used. */
  listen(): Promise<string>;
  /** From now on, `/readyz` answers 503 with the status `draining`. */
  startDraining(): void;
  /** Reads the TLS files and the token again. A file that cannot be used is logged, and the old one stays. */
  reload(): void;
  close(): void;
}

/** @throws ConfigError if a file cannot be used. */
export function createAdminServer(options: AdminServerOptions): AdminServer {
  const { config, upstream, metrics, lastActivity, isListening, totals, ...sources } = options;
  const { log } = sources;
  const guard = createGuard(config.admin);
  const listener = createListener("admin", config.admin, {}, "asks");
  const { server } = listener;
  server.timeout = STALL_TIMEOUT_MS;
  metrics.watchCertificates({ admin: () => expiryOf(listener.credentials()) });
  const glance = createGlanceWatch({ upstream, silenceMs: config.readiness.silenceMs, lastActivity });
  const readiness = createReadiness(glance, isListening);
  metrics.watchUpstream(() => glance.look());
  const app = createAdminApp({
    ...sources,
    readiness,
    guard: guard.handle,
    totals: () => uploadTotals(totals()),
  });
  server.on("request", app);
  return {
    async listen() {
      const url = await listener.listen();
      warn(url, guard, log);
      return url;
    },
    startDraining: () => readiness.startDraining(),
    reload() {
      const changes = [reloadTls(config.admin.tls, listener, log), reloadToken(config.admin, guard, log)];
      // Those who are connected have been let in by the old files.
      if (changes.includes(true)) server.closeAllConnections();
    },
    close() {
      server.close();
      server.closeAllConnections();
      glance.close();
    },
  };
}

function warn(url: string, guard: Guard, log: Log): void {
  if (!guard.authenticates && !LOOPBACK.test(new URL(url).hostname)) {
    const keys = ["admin.tokenFile", "admin.tls.clientCaFile"];
    log.warn({ admin: url, keys }, "the admin address is open to other machines: set one of these keys");
  }
  if (guard.isTokenWorldReadable) {
    log.warn({ key: "admin.tokenFile" }, "every user of this machine can read the token: chmod o-r");
  }
}

/** @returns whether other client certificates are accepted now. */
function reloadTls({ certFile }: Config["admin"]["tls"], listener: Listener, log: Log): boolean {
  if (certFile === undefined) return false;
  const before = listener.credentials().ca;
  const isReloaded = attempt(() => listener.reload(), "TLS files", log);
  return isReloaded && before?.equals(listener.credentials().ca ?? Buffer.alloc(0)) === false;
}

/** @returns whether the token is another one now. */
function reloadToken({ tokenFile }: Config["admin"], guard: Guard, log: Log): boolean {
  let isChanged = false;
  if (tokenFile !== undefined) attempt(() => (isChanged = guard.reload()), "token file", log);
  return isChanged;
}

/** @returns whether the files could be used. */
function attempt(reload: () => unknown, what: string, log: Log): boolean {
  try {
    reload();
    log.info({ side: "admin" }, `${what} reloaded`);
    return true;
  } catch (error) {
    const faults = error instanceof ConfigError ? error.faults : [(error as Error).message];
    log.error({ side: "admin", faults }, `cannot use the new ${what}, keeping the old`);
    return false;
  }
}
