/** The server for clients: listener, timeouts, reload and shutdown. */
import type { Server, ServerOptions } from "node:http";
import { Server as NetServer } from "node:net";
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
  /** @param descriptor as in `Listener.listen`. @throws ListenError if the address cannot be used. */
  listen(descriptor?: number): Promise<Listening>;
  /** As in `Listener`. */
  descriptor(): number | undefined;
  /** The certificate presented to clients, for the expiry metric. */
  credentials(): Credentials;
  /** @returns the number of connections accepted since the start. */
  connections(): number;
  /** @returns takes the configuration over for new connections. @throws ConfigError if a TLS file cannot be used. */
  prepareReload(config: Config): () => void;
  /**
   * Stops accepting connections, because another process or other workers accept them now. Resolves when all connections have ended and
   * all uploads are settled. Each connection ends with its next answer, or after it was idle for the usual time: a client that keeps a
   * connection open never meets a closed one.
   */
  retire(): Promise<void>;
  /**
   * Stops accepting connections and waits for the requests in progress.
   * @param timeoutMs after this time the rest is aborted, and has twice `rollback.timeout` to settle; 0: no limit.
   */
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
  let current = config;
  const app = openApp((exchange, purpose) => claimBody?.(exchange, purpose));
  const listener = createListener("listen", config.listen, serverOptions(config, app));
  const { server } = listener;
  // No limit on the number of header lines, only on their size (`maxHeaderSize`).
  server.maxHeadersCount = 0;
  // A client that closes its sending side after a complete request still gets its answer. Not in Node's types.
  Object.assign(server, { httpAllowHalfOpen: true });
  // With listeners for the last two, Node does not send `100 Continue` and `417 Expectation Failed` itself.
  for (const event of ["request", "checkContinue", "checkExpectation"]) server.on(event, app.handle);
  const connections = trackConnections(server);
  answerParseErrors(server, connections, onUnreadable);
  let accepted = 0;
  server.on("connection", () => (accepted += 1));
  let closed: Promise<void> | undefined;
  const stopAccepting = (): Promise<void> => {
    connections.endWithAnswers();
    return (closed ??= closeListener(server));
  };

  return {
    descriptor: () => listener.descriptor(),

    async listen(descriptor) {
      const relayReason = await whyNotRaw(config);
      if (relayReason === undefined) claimBody = createRawBodies(server, leastRawBytes(config.upload.relay));
      const relay = relayReason === undefined ? "raw" : "stream";
      const listen = await listener.listen(descriptor);
      return { listen, relay, ...(relayReason === undefined ? {} : { relayReason }) };
    },

    credentials: () => listener.credentials(),

    connections: () => accepted,

    prepareReload(next) {
      const takeTls = listener.prepareReload(next.listen.tls);
      return () => {
        takeTls();
        current = next;
        setMaxHeaderSize(server, next.limits.maxHeaderSizeBytes);
      };
    },

    async retire() {
      await stopAccepting();
      await whenSettled();
    },

    drain(timeoutMs) {
      const closed = stopAccepting();
      // An abort may wait twice: until Glance has begun, and until Glance has rolled back.
      const settlingMs = 2 * current.rollback.timeoutMs;
      return drain(server, connections, { timeoutMs, settlingMs, closed, whenSettled });
    },

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

/** For new connections. Node reads the property for each of them, but documents the option of `createServer` alone. */
function setMaxHeaderSize(server: Server, bytes: number): void {
  Object.assign(server, { maxHeaderSize: bytes });
}

/** Resolves when the last connection has ended. */
function closeListener(server: Server): Promise<void> {
  // `close` of an HTTP server would close idle connections at once, while a client may just be using one. It would also end the checks
  // for slow heads.
  return new Promise((resolve) => NetServer.prototype.close.call(server, () => resolve()));
}

interface DrainOptions {
  /** After this time the rest is aborted; 0: no limit. */
  readonly timeoutMs: number;
  /** Time that aborted uploads have to settle. */
  readonly settlingMs: number;
  /** Resolves when the last connection has ended. */
  readonly closed: Promise<void>;
  readonly whenSettled: () => Promise<void>;
}

async function drain(
  server: Server,
  connections: Connections,
  { timeoutMs, settlingMs, closed, whenSettled }: DrainOptions,
): Promise<void> {
  server.closeIdleConnections();
  const sweep = setInterval(() => connections.closeUnserved(), SWEEP_INTERVAL_MS);
  const limit = timeoutMs === 0 ? undefined : setTimeout(() => server.closeAllConnections(), timeoutMs);
  await closed;
  // Connections may close before their uploads settle: Glance may still have to roll back or to answer.
  const settled = whenSettled();
  await (timeoutMs === 0 ? settled : Promise.race([settled, delay(settlingMs)]));
  clearInterval(sweep);
  clearTimeout(limit);
}
