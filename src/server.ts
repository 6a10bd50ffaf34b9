/** The proxy as a server of its own: two listeners, their timeouts, and the way down. */
import type { ServerResponse } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { createAdminApp } from "./admin/app.js";
import { createReadiness, glanceAnswers } from "./admin/readiness.js";
import { createApp } from "./app.js";
import type { Config } from "./config/schema.js";
import { createListener } from "./listener.js";
import { trackConnections } from "./proxy/connections.js";
import { answerParseErrors } from "./proxy/parse-error.js";
import { createUpstream } from "./proxy/upstream.js";
import { expiryOf } from "./tls/credentials.js";
import type { Observers } from "./upload/upload.js";

/** A client may take that long to send a request's head. */
const HEADERS_TIMEOUT_MS = 60_000;
/** How often that is looked after, by Node and, while draining, by us. */
const SWEEP_INTERVAL_MS = 1_000;
/** Longer than a load balancer keeps its own idle connections (50 to 60 s): the balancer has to be the one to close. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000;
/** Bytes read ahead of each connection. */
const READ_AHEAD_BYTES = 256 * 1024;

export interface ProxyServer {
  /** Resolves when both addresses listen. @throws ListenError where one cannot: in use, not ours, not allowed. */
  start(): Promise<{ readonly listen: string; readonly admin: string }>;
  /** Reads the TLS files again, for new connections; where they cannot be used it says so and keeps the old ones. */
  reload(): void;
  /**
   * Stops accepting and lets what is going on finish.
   * @param timeoutMs then the rest is cut, and has `rollback.timeout` to settle; 0: as long as it takes.
   */
  drain(timeoutMs: number): Promise<void>;
  /** Cuts everything. */
  close(): void;
}

/** @throws ConfigError where a TLS file cannot be used. */
export function createServer(config: Config, observers: Observers): ProxyServer {
  const { log, metrics } = observers;
  const upstream = createUpstream(config.upstream);
  const readiness = createReadiness(upstream);
  const admin = createListener("admin.address", config.admin.address);
  admin.server.on("request", createAdminApp({ ...observers, readiness }));
  const listener = createListener(
    "listen.address",
    config.listen.address,
    {
      maxHeaderSize: config.limits.maxHeaderSize,
      // Node's default of 300 s would cut a healthy upload; the upload's own timers watch over it.
      requestTimeout: 0,
      headersTimeout: HEADERS_TIMEOUT_MS,
      connectionsCheckingInterval: SWEEP_INTERVAL_MS,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
      highWaterMark: READ_AHEAD_BYTES,
      // Refused by our own guard instead, which answers as Glance does.
      requireHostHeader: false,
    },
    config.listen.tls,
  );
  const { server } = listener;
  const app = createApp({ config, upstream, observers });
  // With listeners for the latter two Node leaves `100 Continue` and `417 Expectation Failed` to us.
  server.on("request", app).on("checkContinue", app).on("checkExpectation", app);
  const connections = trackConnections(server);
  answerParseErrors(server, connections);
  metrics.watchUpstream(() => glanceAnswers(upstream));
  metrics.watchCertificates({
    listen: () => expiryOf(listener.credentials()),
    upstream: () => expiryOf(upstream.credentials()),
  });

  return {
    async start() {
      const listen = await listener.listen();
      try {
        return { listen, admin: await admin.listen() };
      } catch (error) {
        server.close();
        throw error;
      }
    },

    reload() {
      for (const [side, part] of Object.entries({ listen: listener, upstream })) {
        try {
          part.reload();
          log.info({ side }, "TLS files read again");
        } catch (error) {
          log.error({ side, reason: (error as Error).message }, "TLS files not usable, the old ones stay");
        }
      }
    },

    async drain(timeoutMs) {
      readiness.startDraining();
      const closed = new Promise((resolve) => server.close(resolve));
      // From here on Node no longer watches over slow heads, and keeps connections alive after their last answer.
      server.prependListener("request", (_request, response: ServerResponse) => {
        response.shouldKeepAlive = false;
      });
      const sweep = setInterval(() => connections.closeUnserved(), SWEEP_INTERVAL_MS);
      const limit = timeoutMs === 0 ? undefined : setTimeout(() => server.closeAllConnections(), timeoutMs);
      await closed;
      // Connections may be gone before their uploads are settled: Glance still has to put images back, or to answer.
      const settled = observers.uploads.whenEmpty();
      await (timeoutMs === 0 ? settled : Promise.race([settled, delay(config.rollback.timeout)]));
      clearInterval(sweep);
      clearTimeout(limit);
      admin.server.close();
      admin.server.closeAllConnections();
    },

    close() {
      for (const each of [server, admin.server]) {
        each.close();
        each.closeAllConnections();
      }
    },
  };
}
