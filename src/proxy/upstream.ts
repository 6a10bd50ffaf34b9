/** How to reach Glance: one place for its address, connection and the names of its failures. */
import { Agent as HttpAgent, request as httpRequest, type AgentOptions, type ClientRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { isIP, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import type { Config } from "../config/schema.js";
import { ProxyError, type ProxyErrorCode } from "../proxy-error.js";
import { readCredentials, type Credentials } from "../tls/credentials.js";
import { flatten, valuesOf, type HeaderLine } from "./request-head.js";

/** So long a shared connection may be idle, milliseconds: shorter than what servers grant, of which Apache's 5 s are the least. */
const KEEP_ALIVE_MS = 4_000;

/** Where connections go: an address or a Unix socket. */
interface Place {
  readonly protocol: "http:" | "https:";
  readonly host?: string;
  readonly port?: string;
  readonly socketPath?: string;
}

export interface Upstream {
  /** For http-proxy: the target, with the agent that a request has to use. */
  readonly target: Place;
  /** @param connection of its own, or `shared` with requests before and after it: for such as may be sent twice. */
  agent(connection: "own" | "shared"): HttpAgent;
  /** A path of Glance's, below that of `upstream.url`. */
  path(path: string): string;
  /**
   * Opens a request on a connection of its own; nothing is sent before the first `write`, `end` or `flushHeaders`.
   * @param lines `Host` is Glance's own where it is not among them.
   */
  request(method: string, path: string, lines: readonly HeaderLine[]): ClientRequest;
  /** What is shown to Glance; for the metric of its expiry. */
  credentials(): Credentials;
  /** Reads the files of `upstream.tls` again, for new connections. @throws ConfigError, and keeps what it had. */
  reload(): void;
}

class ConnectTimeout extends Error {
  readonly code = "GLANCE_CONNECT_TIMEOUT";
}

/** @throws ConfigError where a file of `upstream.tls` cannot be used. */
export function createUpstream(config: Config["upstream"]): Upstream {
  const place = placeOf(config.url);
  const { protocol, host, port, socketPath } = place;
  const base = socketPath === undefined ? config.url.pathname.replace(/\/+$/, "") : "";
  const authority = socketPath === undefined ? config.url.host : "localhost";
  const secure = protocol === "https:";
  let credentials = secure ? readUpstreamCredentials(config.tls) : {};
  const createAgent = (options: AgentOptions): HttpAgent => {
    const agent = secure
      ? new HttpsAgent({ ...options, ...verification(config, place) })
      : new HttpAgent(options);
    agent.createConnection = connectInTime(
      agent,
      config.connectTimeout,
      secure ? () => credentials : undefined,
    );
    return agent;
  };
  // A kept-alive connection that Glance closes at the wrong moment could lose an upload.
  const own = createAgent({ keepAlive: false });
  // An agent has work with every request, and it pays for TLS alone, whose sessions it keeps.
  const agent = secure ? own : undefined;
  const createConnection = secure ? undefined : connectPlain(place, config.connectTimeout);
  const createShared = (): HttpAgent =>
    distrustIdle(createAgent({ keepAlive: true, timeout: KEEP_ALIVE_MS }));
  let shared = createShared();
  const request = secure ? httpsRequest : httpRequest;
  return {
    target: place,
    agent: (connection) => (connection === "own" ? own : shared),
    path: (path) => base + path,
    request(method, path, lines) {
      const headers = flatten(lines);
      if (valuesOf(lines, "host").length === 0) headers.push("host", authority);
      headers.push("connection", "close");
      // Each by its name: of an object that is spread V8 makes a new kind of object every time.
      const options = {
        protocol,
        host,
        port,
        socketPath,
        agent,
        createConnection,
        method,
        path: base + path,
        headers,
      };
      return request(options);
    },
    credentials: () => credentials,
    reload() {
      if (!secure) return;
      credentials = readUpstreamCredentials(config.tls);
      shared = createShared(); // the old connections end when they have been idle
    },
  };
}

function placeOf(url: URL): Place {
  if (url.protocol === "unix:") return { protocol: "http:", socketPath: decodeURIComponent(url.pathname) };
  const protocol = url.protocol === "https:" ? "https:" : "http:";
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  return { protocol, host, port: url.port === "" ? (protocol === "https:" ? "443" : "80") : url.port };
}

function readUpstreamCredentials({ certFile, keyFile, caFile }: Config["upstream"]["tls"]): Credentials {
  const authorities = caFile === undefined ? undefined : { key: "caFile", path: caFile };
  return readCredentials("upstream.tls", { certFile, keyFile, caFile: authorities });
}

/** Node would take the name to verify from `Host`, which is the client's name for us. */
function verification({ tls }: Config["upstream"], { host = "" }: Place): object {
  const servername = tls.servername ?? (isIP(host) === 0 ? host : "");
  return { rejectUnauthorized: tls.rejectUnauthorized, servername };
}

function connectPlain({ host, port, socketPath }: Place, timeoutMs: number): () => Socket {
  const to = socketPath === undefined ? { host, port: Number(port) } : { path: socketPath };
  // Options that `connect` would copy into the socket live long in V8, and all that hangs on them.
  return () => limitConnecting(new Socket().setNoDelay().connect(to), timeoutMs);
}

function connectInTime(
  agent: HttpAgent,
  timeoutMs: number,
  credentials: (() => Credentials) | undefined,
): HttpAgent["createConnection"] {
  const open = agent.createConnection.bind(agent);
  return (options, callback) => {
    // Copies live long in V8, and all that hangs on them: plain HTTP does without.
    const connection = open(credentials ? { ...options, ...credentials() } : options, callback);
    return connection && limitConnecting(connection, timeoutMs);
  };
}

/** Bytes that come while nobody has asked for any would be taken for the answer to the next request. */
function distrustIdle(agent: HttpAgent): HttpAgent {
  const keep = agent.keepSocketAlive.bind(agent);
  const reuse = agent.reuseSocket.bind(agent);
  agent.keepSocketAlive = (socket) => {
    socket.on("data", destroy);
    return keep(socket); // whether to, which its type does not tell
  };
  agent.reuseSocket = (socket, request) => {
    socket.off("data", destroy);
    reuse(socket, request);
  };
  return agent;
}

function destroy(this: Duplex): void {
  this.destroy();
}

/** @param timeoutMs 0: as long as it takes. */
function limitConnecting<Connection extends Duplex>(connection: Connection, timeoutMs: number): Connection {
  if (timeoutMs === 0) return connection;
  const timer = setTimeout(
    () => connection.destroy(new ConnectTimeout(`not connected after ${timeoutMs} ms`)),
    timeoutMs,
  );
  const stop = (): void => clearTimeout(timer);
  onceConnected(connection, stop);
  connection.once("close", stop);
  return connection;
}

/** Calls back when a connection that is being opened is ready for data, its TLS handshake included. */
export function onceConnected(connection: Duplex | Socket, act: () => void): void {
  connection.once(connection instanceof TLSSocket ? "secureConnect" : "connect", act);
}

export const UPSTREAM_ERROR_KINDS = [
  "connect",
  "connect_timeout",
  "timeout",
  "reset",
  "protocol",
  "early_success",
  "truncated",
] as const;

/** What happened between the proxy and Glance; a label of the metrics. */
export type UpstreamErrorKind = (typeof UPSTREAM_ERROR_KINDS)[number];

const KINDS: Partial<Record<ProxyErrorCode, UpstreamErrorKind>> = {
  upstream_unreachable: "connect",
  upstream_connect_timeout: "connect_timeout",
  upstream_timeout: "timeout",
  upstream_early_success: "early_success",
};

/** @returns undefined where the error is not Glance's. */
export function upstreamErrorKind(error: ProxyError): UpstreamErrorKind | undefined {
  if (error.code === "upstream_failed") return isProtocolError(error.cause) ? "protocol" : "reset";
  return KINDS[error.code];
}

/** A socket's or parser's error, as the client is told of it. */
export function toUpstreamError(cause: unknown): ProxyError {
  if (cause instanceof ProxyError) return cause;
  if (cause instanceof ConnectTimeout) {
    return new ProxyError("upstream_connect_timeout", "Glance did not accept the connection in time.", {
      cause,
    });
  }
  const { code, syscall } = cause as NodeJS.ErrnoException;
  if (isTlsError(code)) {
    return new ProxyError("upstream_unreachable", "Glance cannot be reached: TLS failed.", { cause });
  }
  if (syscall === "connect" || syscall === "getaddrinfo" || code === "ENOTFOUND" || code === "EAI_AGAIN") {
    return new ProxyError("upstream_unreachable", "Glance cannot be reached.", { cause });
  }
  if (isProtocolError(cause)) {
    return new ProxyError("upstream_failed", "Glance sent an answer that is not HTTP.", { cause });
  }
  return new ProxyError("upstream_failed", "Glance closed the connection before it had answered.", { cause });
}

/** The handshake, or the certificate: nothing of the request was sent. */
function isTlsError(code: string | undefined): boolean {
  return (
    code !== undefined &&
    (/^(ERR_TLS|ERR_SSL|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH)/.test(code) ||
      code === "EPROTO")
  );
}

function isProtocolError(cause: unknown): boolean {
  return String((cause as NodeJS.ErrnoException | undefined)?.code).startsWith("HPE_");
}

/** Before any of it was passed on. */
export function truncatedAnswer(): ProxyError {
  return new ProxyError("upstream_failed", "Glance's answer broke off.");
}

/** Glance was silent for longer than `upstream.responseTimeout`. */
export function upstreamTimeout(): ProxyError {
  return new ProxyError("upstream_timeout", "Glance did not answer in time.");
}
