/** The proxy as a server of its own: two listeners, their timeouts, and the way down. */
import { createServer as createHttpServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createAdminApp } from "./admin/app.js";
import { createReadiness } from "./admin/readiness.js";
import { createApp } from "./app.js";
import type { Config } from "./config/schema.js";
import type { ListenAddress } from "./config/values.js";
import { trackConnections } from "./proxy/connections.js";
import { answerParseErrors } from "./proxy/parse-error.js";
import { createUpstream } from "./proxy/upstream.js";
import type { Observers } from "./upload/upload.js";

/** A client may take that long to send a request's head. */
const HEADERS_TIMEOUT_MS = 60_000;
/** Longer than a load balancer keeps its own idle connections (50 to 60 s): the balancer has to be the one to close. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000;
/** Bytes read ahead of each connection. */
const READ_AHEAD_BYTES = 256 * 1024;

export interface ProxyServer {
  /** Resolves when both addresses listen. @throws where one cannot: in use, not ours, not allowed. */
  start(): Promise<{ readonly listen: string; readonly admin: string }>;
  /**
   * Stops accepting and lets what is going on finish.
   * @param timeoutMs then the rest is cut; 0: as long as it takes.
   */
  drain(timeoutMs: number): Promise<void>;
  /** Cuts everything. */
  close(): void;
}

export function createServer(config: Config, observers: Observers): ProxyServer {
  const upstream = createUpstream(config.upstream);
  const readiness = createReadiness(upstream);
  const admin = createHttpServer(createAdminApp({ ...observers, readiness }));
  const server = createHttpServer({
    maxHeaderSize: config.limits.maxHeaderSize,
    // Node's default of 300 s would cut a healthy upload; the upload's own timers watch over it.
    requestTimeout: 0,
    headersTimeout: HEADERS_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    highWaterMark: READ_AHEAD_BYTES,
    // Refused by our own guard instead, which answers as Glance does.
    requireHostHeader: false,
  });
  const app = createApp({ config, upstream, observers });
  // With a listener for the latter Node leaves it to us when to say `100 Continue`.
  server.on("request", app).on("checkContinue", app);
  const connections = trackConnections(server);
  answerParseErrors(server, connections);

  return {
    async start() {
      await listen(server, "listen.address", config.listen.address);
      try {
        await listen(admin, "admin.address", config.admin.address);
      } catch (error) {
        server.close();
        throw error;
      }
      return { listen: urlOf(server), admin: urlOf(admin) };
    },

    async drain(timeoutMs) {
      readiness.startDraining();
      const closed = new Promise((resolve) => server.close(resolve));
      // From here on Node no longer watches over slow heads, and keeps connections alive after their last answer.
      server.prependListener("request", (_request, response: ServerResponse) => {
        response.shouldKeepAlive = false;
      });
      const sweep = setInterval(() => connections.closeUnserved(), 1_000);
      const limit = timeoutMs === 0 ? undefined : setTimeout(() => server.closeAllConnections(), timeoutMs);
      await closed;
      clearInterval(sweep);
      clearTimeout(limit);
      admin.close();
      admin.closeAllConnections();
    },

    close() {
      for (const each of [server, admin]) {
        each.close();
        each.closeAllConnections();
      }
    },
  };
}

/** @throws Error whose message names the key and the value. */
function listen(server: Server, key: string, { host, port }: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      reject(new ListenError(`${key}: cannot listen on ${join(host, port)}: ${explain(cause)}`, { cause }));
    });
    server.listen(port, host, resolve);
  });
}

/** An address that cannot be listened on; the message names the key, the address and the reason. */
export class ListenError extends Error {}

function explain(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case "EADDRINUSE":
      return "the port is in use: stop what uses it, or choose another (0 takes a free one)";
    case "EADDRNOTAVAIL":
      return "this machine does not have that address";
    case "EACCES":
      return "not allowed: a port below 1024 needs the right to bind it";
    default:
      return error.message;
  }
}

function urlOf(server: Server): string {
  const { address, port } = server.address() as AddressInfo;
  return `http://${join(address, port)}`;
}

function join(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
