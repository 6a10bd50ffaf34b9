/** The admin address, for a proxy of one process and of several. */
import type { Config } from "../config/config.js";
import { collectFaults } from "../config/config-error.js";
import { expiryOf } from "../http/credentials.js";
import { createListener, differsInKind } from "../http/listener.js";
import type { Log } from "../observe/log.js";
import type { Metrics } from "../observe/metrics.js";
import { type Totals, uploadTotals } from "../observe/totals.js";
import type { UploadsSnapshot } from "../observe/uploads-registry.js";
import type { Upstream } from "../upstream/upstream.js";
import { createAdminApp } from "./app.js";
import { createGlanceWatch } from "./glance-watch.js";
import { createGuard, type Guard } from "./guard.js";
import { createReadiness } from "./readiness.js";

/** Time that requests in progress have after `retire`, milliseconds. */
const LAST_ANSWERS_MS = 5_000;

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

/** @throws ConfigError if a file cannot be used. */
export function createAdminServer(options: AdminServerOptions): AdminServer {
  const { config, upstream, metrics, lastActivity, isListening, totals, ...sources } = options;
  const glance = createGlanceWatch({ upstream, silenceMs: config.readiness.silenceMs, lastActivity });
  const readiness = createReadiness(glance, isListening);
  metrics.watchUpstream(() => glance.look());
  let guard = createGuard(config.admin);
  const listener = createListener("admin", config.admin, {}, "asks");
  const { server } = listener;
  server.timeout = STALL_TIMEOUT_MS;
  metrics.watchCertificates({ admin: () => expiryOf(listener.credentials()) });
  const app = createAdminApp({
    ...sources,
    readiness,
    guard: (request, response, next) => guard.handle(request, response, next),
    totals: () => uploadTotals(totals()),
  });
  server.on("request", app);
  let current = config;
  return {
    descriptor: () => listener.descriptor(),
    async listen(descriptor) {
      const url = await listener.listen(descriptor);
      warnOfStrangers(url, guard, sources.log);
      warnOfReaders(guard, sources.log);
      return url;
    },
    prepareReload(next, nextUpstream) {
      let nextGuard = guard;
      const takeOver = collectFaults([
        () => void (nextGuard = createGuard(next.admin)),
        () => listener.prepareReload(next.admin.tls),
      ]);
      return () => {
        const isSameGlance = next.upstream.url.href === current.upstream.url.href;
        const { silenceMs } = next.readiness;
        glance.reload({ upstream: nextUpstream, silenceMs }, isSameGlance);
        current = next;
        const authorities = String(listener.credentials().ca);
        for (const take of takeOver) take?.();
        const isSame = guard.rules === nextGuard.rules && authorities === String(listener.credentials().ca);
        guard = nextGuard;
        warnOfReaders(guard, sources.log);
        // The old rules have let in those who are connected.
        if (!isSame) server.closeAllConnections();
      };
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

/** @returns whether the key has a new value that only a start can take over. */
export function adminNeedsStart(key: string, { admin: before }: Config, { admin: after }: Config): boolean {
  return key === "admin.address" || (key.startsWith("admin.tls.") && differsInKind(before.tls, after.tls));
}

function warnOfStrangers(url: string, guard: Guard, log: Log): void {
  if (!guard.authenticates && !LOOPBACK.test(new URL(url).hostname)) {
    const keys = ["admin.tokenFile", "admin.tls.clientCaFile"];
    log.warn({ admin: url, keys }, "the admin address is open to other machines: set one of these keys");
  }
}

function warnOfReaders(guard: Guard, log: Log): void {
  if (guard.isTokenWorldReadable) {
    log.warn({ key: "admin.tokenFile" }, "every user of this machine can read the token: chmod o-r");
  }
}
