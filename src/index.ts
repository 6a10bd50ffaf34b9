/** The public API: the proxy as Express middleware, and as a server. */
import type { Registry } from "prom-client";
import { createApp } from "./app.js";
import { completeConfig, parseConfig } from "./config/load.js";
import type { ConfigInput } from "./config/schema.js";
import { createHooks } from "./hooks/hooks.js";
import { createLog, type Log } from "./observe/log.js";
import { createLogOutput } from "./observe/log-output.js";
import { createMetrics } from "./observe/metrics.js";
import type { Observers } from "./observe/observers.js";
import type { Reload } from "./observe/reloads.js";
import { createUploadsRegistry, type UploadsSnapshot, type UploadView } from "./observe/uploads-registry.js";
import { createServer as createProxyServer } from "./server.js";
import { createQuotas } from "./upload/quotas.js";
import { createReplayMemory } from "./upload/replay-memory.js";
import { createUpstream } from "./upstream/upstream.js";

export { ConfigError } from "./config/config-error.js";
export { version } from "./vocabulary/version.js";
import type { ProxyServer } from "./admin/proxy-server.js";
import type { Middleware } from "./client/express-app.js";
import { nameInstance } from "./http/forwarded-headers.js";
export type { ConfigInput, Log, Middleware, ProxyServer, Reload, UploadsSnapshot, UploadView };

export interface GlanceSizeProxyOptions {
  /** Destination of the log. Default: JSON lines on standard output, at `log.level` and above. */
  readonly log?: Log;
  /** Registry for the metrics. Default: a new one. */
  readonly registry?: Registry;
}

export interface GlanceSizeProxy extends Middleware {
  /** The metrics, for your own `/metrics` route. */
  readonly registry: Registry;
  /** The uploads in flight, and the last 100 finished ones. */
  uploads(): UploadsSnapshot;
}

/**
 * The proxy as Express middleware. It answers every request that it receives, so mount it last, and without a body parser before it.
 *
 * You own the HTTP server, which needs these settings (docs/middleware.md): `requestTimeout = 0`, or Node aborts uploads after 300 s;
 * `server.on("checkContinue", app)`, so that bad uploads are refused before their body is sent; a `maxHeaderSize` large enough for
 * Keystone's tokens; a `keepAliveTimeout` longer than that of a load balancer in front.
 *
 * @param config the keys of the configuration file; only `upstream.url` is required. `listen.address`, `listen.tls`,
 *   `admin`, `shutdown`, `workers`, `limits.maxHeaderSize` and `upload.relay` have no effect.
 * @throws ConfigError naming every key that is wrong.
 */
export function createGlanceSizeProxy(
  config: ConfigInput,
  options: GlanceSizeProxyOptions = {},
): GlanceSizeProxy {
  const parsed = parseConfig(config);
  const observers = createObservers(parsed.log.level, options);
  observers.metrics.relayChosen("stream"); // the server owns the connections
  createHooks(parsed.hooks, observers);
  const { handle } = createApp({
    config: parsed,
    upstream: createUpstream(parsed.upstream),
    observers,
    quotas: createQuotas(parsed),
    replays: createReplayMemory(parsed.replay.windowMs),
    instance: nameInstance(),
  });
  const middleware: Middleware = (request, response, next) => handle(request, response, next);
  return Object.assign(middleware, {
    registry: observers.metrics.registry,
    uploads: () => observers.uploads.snapshot(),
  });
}

/**
 * The proxy with both listeners, as the command runs it, in this process. `workers` has no effect.
 *
 * @throws ConfigError naming every key that is wrong.
 */
export function createServer(config: ConfigInput, options: GlanceSizeProxyOptions = {}): ProxyServer {
  const loaded = completeConfig(config);
  const server = createProxyServer(loaded, createObservers(loaded.config.log.level, options));
  return {
    start: () => server.start(),
    reload: (next) => server.reload(next && (() => completeConfig(next))),
    drain: (timeoutMs) => server.drain(timeoutMs),
    close: () => server.close(),
  };
}

function createObservers(
  level: Parameters<typeof createLog>[0],
  { log, registry }: GlanceSizeProxyOptions,
): Observers {
  const metrics = createMetrics(registry);
  const uploads = createUploadsRegistry();
  if (log) return { log, metrics, uploads };
  const output = createLogOutput();
  metrics.watchLog(output);
  const own = createLog(level, output);
  return { log: own, metrics, uploads, setLogLevel: (next) => void (own.level = next) };
}
