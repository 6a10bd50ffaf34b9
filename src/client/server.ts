/** The side that clients see: their listener, its timeouts, and the way down. */
import type { Server, ServerOptions, ServerResponse } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import type { Config } from "../config/schema.js";
import { createListener } from "../http/listener.js";
import type { App } from "./express-app.js";
import { trackConnections, type Connections } from "./connections.js";
import { answerParseErrors } from "./parse-error.js";
import { createRawBodies, leastRawBytes, type ClaimBody } from "../raw-io/claim-body.js";
import { checkRawBodies } from "../raw-io/self-check.js";
import type { Credentials } from "../http/credentials.js";

/** A client may take that long to send a request's head. */
const HEADERS_TIMEOUT_MS = 60_000;
/** How often that is looked after, by Node and, while draining, by us. */
const SWEEP_INTERVAL_MS = 1_000;
/** Longer than a load balancer keeps its own idle connections (50 to 60 s): the balancer has to be the one to close. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000;
/** By itself Node's HTTPS server closes its side when the client does. Of `net`, and so not among the types of `http`. */
const HALF_OPEN: object = { allowHalfOpen: true };
/** A connection on which nothing has come for that long is asked by the system whether the client is there. */
const TCP_KEEP_ALIVE_MS = 60_000;
/** Bytes read ahead of each connection. */
const READ_AHEAD_BYTES = 128 * 1024;

export interface Listening {
  /** The URL. */
  readonly listen: string;
  /** How upload bodies are read. */
  readonly relay: "raw" | "stream";
  /** Why not `raw`. */
  readonly relayReason?: string;
}

export interface ClientServer {
  /** @throws ListenError if the address cannot be used. */
  listen(): Promise<Listening>;
  /** The certificate that is shown to clients; for the metric of its expiry. */
  credentials(): Credentials;
  /** Reads the TLS files again, for new connections. @throws ConfigError, and keeps the old ones. */
  reload(): void;
  /**
   * Stops accepting and lets what is going on finish.
   * @param timeoutMs then the rest is cut, and has `rollback.timeout` to settle; 0: as long as it takes.
   */
  drain(timeoutMs: number): Promise<void>;
  /** Cuts everything. */
  close(): void;
}

/** A whole proxy: what clients see, and what operators see. */
export interface ProxyServer {
  /** Resolves when both addresses listen. @throws ListenError if one cannot be used: in use, not ours, not allowed. */
  start(): Promise<Listening & { readonly admin: string }>;
  /** Reads the TLS files again, for new connections; if they cannot be used it says so and keeps the old ones. */
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
  /** Resolves when no upload is going on. */
  readonly whenSettled: () => Promise<void>;
}

/** @throws ConfigError if a TLS file cannot be used. */
export function createClientServer({ config, openApp, whenSettled }: ClientServerOptions): ClientServer {
  let claimBody: ClaimBody | undefined;
  const app = openApp((exchange, purpose) => claimBody?.(exchange, purpose));
  const { listen } = config;
  const listener = createListener("listen.address", listen.address, serverOptions(config, app), listen.tls);
  const { server } = listener;
  // Every line of a head is shown; `maxHeaderSize` alone bounds it.
  server.maxHeadersCount = 0;
  // A client that closes its side behind a whole request still gets its answer. Node has this switch, though not in its types.
  Object.assign(server, { httpAllowHalfOpen: true });
  // With listeners for the latter two Node leaves `100 Continue` and `417 Expectation Failed` to us.
  for (const event of ["request", "checkContinue", "checkExpectation"]) server.on(event, app.handle);
  const connections = trackConnections(server);
  answerParseErrors(server, connections);

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
      drain(server, connections, { timeoutMs, settlingMs: config.rollback.timeout, whenSettled }),

    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function whyNotRaw({ upload, listen }: Config): Promise<string | undefined> {
  if (upload.relay === "stream") return "upload.relay";
  if (listen.tls.certFile !== undefined) return "listen.tls";
  return checkRawBodies();
}

function serverOptions({ limits }: Config, app: App): ServerOptions {
  return {
    ...app.messages,
    ...HALF_OPEN,
    maxHeaderSize: limits.maxHeaderSize,
    // Node's default of 300 s would cut a healthy upload; the upload's own timers watch over it.
    requestTimeout: 0,
    headersTimeout: HEADERS_TIMEOUT_MS,
    connectionsCheckingInterval: SWEEP_INTERVAL_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    highWaterMark: READ_AHEAD_BYTES,
    // Refused by our own guard instead, which answers as Glance does.
    requireHostHeader: false,
    // A client that has closed its side may be gone altogether: the system asks it.
    keepAlive: true,
    keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
  };
}

interface DrainOptions {
  /** Then the rest is cut; 0: as long as it takes. */
  readonly timeoutMs: number;
  /** What is cut has so long to settle. */
  readonly settlingMs: number;
  readonly whenSettled: () => Promise<void>;
}

async function drain(
  server: Server,
  connections: Connections,
  { timeoutMs, settlingMs, whenSettled }: DrainOptions,
): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  // From here on Node no longer watches over slow heads, and keeps connections alive after their last answer.
  server.prependListener("request", (_request, response: ServerResponse) => {
    response.shouldKeepAlive = false;
  });
  const sweep = setInterval(() => connections.closeUnserved(), SWEEP_INTERVAL_MS);
  const limit = timeoutMs === 0 ? undefined : setTimeout(() => server.closeAllConnections(), timeoutMs);
  await closed;
  // Connections may be gone before their uploads are settled: Glance still has to put images back, or to answer.
  const settled = whenSettled();
  await (timeoutMs === 0 ? settled : Promise.race([settled, delay(settlingMs)]));
  clearInterval(sweep);
  clearTimeout(limit);
}
