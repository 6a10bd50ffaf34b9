/** Opens connections and requests to Glance. */
import { Agent as HttpAgent, request as httpRequest, type ClientRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { isIP, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import type { Config } from "../config/config.js";
import { readCredentials, type Credentials } from "../http/credentials.js";
import { createActivity, type Activity } from "./activity.js";
import { reportWriteErrorsLate } from "./late-write-errors.js";
import { flatten, valuesOf, type HeaderLine } from "../http/request-head.js";
import { ConnectTimeout } from "./failures.js";
import { guardWire } from "./wire-guard.js";

/** Address of Glance: host and port, or a Unix socket. */
interface GlanceAddress {
  readonly protocol: "http:" | "https:";
  readonly host?: string;
  readonly port?: string;
  readonly socketPath?: string;
}

export interface Upstream {
  /** For http-proxy: the target, and an agent that opens one connection per request. */
  readonly target: GlanceAddress;
  readonly agent: HttpAgent;
  /** The path to request, below the path of `upstream.url`. */
  path(path: string): string;
  /**
   * Opens a request on its own connection. Nothing is sent before the first `write`, `end` or `flushHeaders`.
   * @param lines headers. If `Host` is missing, Glance's address is used.
   */
  request(method: string, path: string, lines: readonly HeaderLine[]): ClientRequest;
  /** Time of the last activity of Glance: see {@link Activity}. */
  lastActivity(): number;
  /** The certificate presented to Glance, for the expiry metric. */
  credentials(): Credentials;
  /** Reloads the files of `upstream.tls` for new connections. @throws ConfigError if a file cannot be used; then the old ones stay. */
  reload(): void;
}

/** @throws ConfigError if a file of `upstream.tls` cannot be used. */
export function createUpstream(config: Config["upstream"]): Upstream {
  const address = addressOf(config.url);
  const { protocol, host, port, socketPath } = address;
  const base = socketPath === undefined ? config.url.pathname.replace(/\/+$/, "") : "";
  const authority = socketPath === undefined ? config.url.host : "localhost";
  const secure = protocol === "https:";
  let credentials = secure ? readUpstreamCredentials(config.tls) : {};
  const activity = createActivity();
  const prepare: Prepare = (connection) => prepareConnection(connection, config.connectTimeoutMs, activity);
  const openAgent = (): HttpAgent => createAgent(config, address, secure ? credentials : undefined, prepare);
  let agent = openAgent();
  const createConnection = secure ? undefined : connectPlain(address, prepare);
  const request = secure ? httpsRequest : httpRequest;
  return {
    target: address,
    get agent() {
      return agent;
    },
    path: (path) => base + path,
    request(method, path, lines) {
      const headers = flatten(lines);
      if (valuesOf(lines, "host").length === 0) headers.push("host", authority);
      headers.push("connection", "close");
      const options = {
        protocol,
        host,
        port,
        socketPath,
        // Plain HTTP needs no agent. TLS needs one to resume sessions.
        agent: secure ? agent : undefined,
        createConnection,
        method,
        path: base + path,
        headers,
      };
      const opened = request(options);
      opened.maxHeadersCount = 0;
      return opened;
    },
    lastActivity: () => activity.lastAt(),
    credentials: () => credentials,
    reload() {
      if (!secure) return;
      credentials = readUpstreamCredentials(config.tls);
      agent = openAgent(); // the old agent would resume sessions with the old certificate
    },
  };
}

function addressOf(url: URL): GlanceAddress {
  if (url.protocol === "unix:") return { protocol: "http:", socketPath: decodeURIComponent(url.pathname) };
  const protocol = url.protocol === "https:" ? "https:" : "http:";
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  return { protocol, host, port: url.port === "" ? (protocol === "https:" ? "443" : "80") : url.port };
}

function readUpstreamCredentials({ certFile, keyFile, caFile }: Config["upstream"]["tls"]): Credentials {
  const authorities = caFile === undefined ? undefined : { key: "caFile", path: caFile };
  return readCredentials("upstream.tls", { certFile, keyFile, caFile: authorities });
}

/** Without `servername`, Node would verify the certificate against `Host`, which the client chooses. */
function verification({ tls }: Config["upstream"], { host = "" }: GlanceAddress): object {
  const servername = tls.servername ?? (isIP(host) === 0 ? host : "");
  return { rejectUnauthorized: tls.rejectUnauthorized, servername };
}

function connectPlain({ host, port, socketPath }: GlanceAddress, prepare: Prepare): () => Socket {
  const to = socketPath === undefined ? { host, port: Number(port) } : { path: socketPath };
  return () => prepare(new Socket().setNoDelay().connect(to));
}

type Prepare = <Connection extends Duplex>(connection: Connection) => Connection;

/** Prepares each connection to Glance. */
function prepareConnection<Connection extends Duplex>(
  connection: Connection,
  connectTimeoutMs: number,
  activity: Activity,
): Connection {
  if (connection instanceof Socket) activity.watch(connection);
  return guardWire(reportWriteErrorsLate(limitConnecting(connection, connectTimeoutMs)));
}

/**
 * No connection is reused: bytes that Glance sends after an answer would be read as the answer to the next request, and a request is
 * lost if Glance closes the connection at the wrong moment.
 *
 * @param credentials certificate and CAs; undefined without TLS.
 */
function createAgent(
  config: Config["upstream"],
  address: GlanceAddress,
  credentials: Credentials | undefined,
  prepare: Prepare,
): HttpAgent {
  const agent = credentials
    ? new HttpsAgent({ keepAlive: false, ...verification(config, address), ...credentials })
    : new HttpAgent({ keepAlive: false });
  const open = agent.createConnection.bind(agent);
  agent.createConnection = (options, callback) => {
    const connection = open(options, callback);
    return connection && prepare(connection);
  };
  showWholeHeads(agent);
  return agent;
}

/** Node's client drops all header lines of an answer after the first 1,000, unless this is set. */
function showWholeHeads(agent: HttpAgent): void {
  const shown = agent as unknown as { addRequest(request: ClientRequest, options: object): void };
  const add = shown.addRequest.bind(agent);
  shown.addRequest = (request, options) => {
    request.maxHeadersCount = 0;
    add(request, options);
  };
}

/** @param timeoutMs 0: no limit. */
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

/** Calls `act` when a new connection is ready for data: after connecting and, with TLS, the handshake. */
export function onceConnected(connection: Duplex | Socket, act: () => void): void {
  connection.once(connection instanceof TLSSocket ? "secureConnect" : "connect", act);
}
