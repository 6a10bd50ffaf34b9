/** The server for clients: listener, timeouts, reload and shutdown. */
import type { Server, ServerOptions, ServerResponse } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import type { Config } from "../config/config.js";
import type { Credentials } from "../http/credentials.js";
import { createListener } from "../http/listener.js";
import { type ClaimBody, createRawBodies, leastRawBytes } from "../raw-io/claim-body.js";
import { checkRawBodies } from "../raw-io/self-check.js";
import { type Connections, trackConnections } from "./connections.js";
import type { App } from "./express-app.js";
import { answerParseErrors, type UnreadableRequest } from "./parse-error.js";

/** Maximum time for a request's head. */
const HEADERS_TIMEOUT_MS = 60_000;
/** How often slow heads are checked: by Node, and here while draining. */
const SWEEP_INTERVAL_MS = 1_000;
/** Longer than load balancers keep idle connections (50 to 60 s), so that the balancer closes first. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000;
/** Otherwise Node's HTTPS server closes when the client closes its sending side. An option of `net`, not in the types of `http`. */
const HALF_OPEN: object = { allowHalfOpen: true };
/** TCP keep-alive probes start after this time without data. */
const TCP_KEEP_ALIVE_MS = 60_000;
/** Bytes read ahead of each connection. */
const READ_AHEAD_BYTES = 128 * 1024;

export interface Listening {
  /** The URL. */
  readonly listen: string;
  /** How upload bodies are read. */
  readonly relay: "raw" | "stream";
  /** Why the relay is not `raw`. */
  readonly relayReason?: string;
}

export interface ClientServer {
  /** @throws ListenError if the address cannot be used. */
  listen(): Promise<Listening>;
  /** The certificate presented to clients, for the expiry metric. */
  credentials(): Credentials;
  /** Reloads the TLS files for new connections. @throws ConfigError if a file cannot be used; then the old ones stay. */
  reload(): void;
  /**
   * Stops accepting connections and waits for the requests in progress.
   * @param timeoutMs after this time the rest is aborted, and has twice `rollback.timeout` to settle; 0: no limit.
   */
  drain(timeoutMs: number): Promise<void>;
  /** Cuts everything. */
  close(): void;
}

/** A proxy with both listeners. */
export interface ProxyServer {
  /** Resolves when both addresses listen. @throws ListenError if an address cannot be used. */
  start(): Promise<Listening & { readonly admin: string }>;
  /** Reloads the TLS files for new connections. If a file cannot be used, the error is logged and the old ones stay. */
  reload(): void;
  /** As {@link ClientServer.drain}. */
  drain(timeoutMs: number): Promise<void>;
  /** Cuts everything. */
  close(): void;
}

export interface ClientServerOptions {
  readonly config: Config;
  /** @param claimBody takes the body of an upload over from Node. */
  readonly openApp: (claimBody: ClaimBody) => App;
  /** Resolves when no upload is in progress. */
  readonly whenSettled: () => Promise<void>;
  readonly onUnreadable: (request: UnreadableRequest) => void;
}

/** @throws ConfigError if a TLS file cannot be used. */
export function createClientServer(options: ClientServerOptions): ClientServer {
  const { config, openApp, whenSettled, onUnreadable } = options;
  let claimBody: ClaimBody | undefined;
  const app = openApp((exchange, purpose) => claimBody?.(exchange, purpose));
  const { listen } = config;
  const listener = createListener("listen.address", listen.address, serverOptions(config, app), listen.tls);
  const { server } = listener;
  // No limit on the number of header lines, only on their size (`maxHeaderSize`).
  server.maxHeadersCount = 0;
  // A client that closes its sending side after a complete request still gets its answer. Not in Node's types.
  Object.assign(server, { httpAllowHalfOpen: true });
  // With listeners for the last two, Node does not send `100 Continue` and `417 Expectation Failed` itself.
  for (const event of ["request", "checkContinue", "checkExpectation"]) server.on(event, app.handle);
  const connections = trackConnections(server);
  answerParseErrors(server, connections, onUnreadable);

  return {
    async listen() {
      const relayReason = await whyNotRaw(config);
      if (relayReason === undefined) claimBody = createRawBodies(server, leastRawBytes(config.upload.relay));
      const relay = relayReason === undefined ? "raw" : "stream";
      const listen = await listener.listen();
      return { listen, relay, ...(relayReason === undefined ? {} : { relayReason }) };
    },

    credentials: () => listener.credentials(),

    reload: () => listener.reload(),

    drain: (timeoutMs) =>
      // An abort may wait twice: until Glance has begun, and until Glance has rolled back.
      drain(server, connections, { timeoutMs, settlingMs: 2 * config.rollback.timeoutMs, whenSettled }),

    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function whyNotRaw({ upload, listen }: Config): Promise<string | undefined> {
  if (upload.relay === "stream") return "upload.relay";
  return checkRawBodies(listen.tls.certFile !== undefined);
}

function serverOptions({ limits }: Config, app: App): ServerOptions {
  return {
    ...app.messages,
    ...HALF_OPEN,
    maxHeaderSize: limits.maxHeaderSizeBytes,
    // Node's default of 300 s would abort a healthy upload. `limits.idleTimeout` replaces it.
    requestTimeout: 0,
    headersTimeout: HEADERS_TIMEOUT_MS,
    connectionsCheckingInterval: SWEEP_INTERVAL_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    highWaterMark: READ_AHEAD_BYTES,
    // `http/request-guard.ts` checks the header and answers as Glance does.
    requireHostHeader: false,
    // Finds out whether a half-closed client still exists.
    keepAlive: true,
    keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
  };
}

interface DrainOptions {
  /** After this time the rest is aborted; 0: no limit. */
  readonly timeoutMs: number;
  /** Time that aborted uploads have to settle. */
  readonly settlingMs: number;
  readonly whenSettled: () => Promise<void>;
}

async function drain(
  server: Server,
  connections: Connections,
  { timeoutMs, settlingMs, whenSettled }: DrainOptions,
): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  // After `close`, Node no longer checks slow heads, and it keeps connections open after their last answer.
  server.prependListener("request", (_request, response: ServerResponse) => {
    response.shouldKeepAlive = false;
  });
  const sweep = setInterval(() => connections.closeUnserved(), SWEEP_INTERVAL_MS);
  const limit = timeoutMs === 0 ? undefined : setTimeout(() => server.closeAllConnections(), timeoutMs);
  await closed;
  // Connections may close before their uploads settle: Glance may still have to roll back or to answer.
  const settled = whenSettled();
  await (timeoutMs === 0 ? settled : Promise.race([settled, delay(settlingMs)]));
  clearInterval(sweep);
  clearTimeout(limit);
}
