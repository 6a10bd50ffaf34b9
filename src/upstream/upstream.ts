/** How to reach Glance: one place for its address, connection and the names of its failures. */
import { Agent as HttpAgent, request as httpRequest, type ClientRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { isIP, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import type { Config } from "../config/schema.js";
import { readCredentials, type Credentials } from "../http/credentials.js";
import { createActivity, type Activity } from "./activity.js";
import { reportWriteErrorsLate } from "./late-write-errors.js";
import { flatten, valuesOf, type HeaderLine } from "../http/request-head.js";
import { ConnectTimeout } from "./failures.js";
import { guardWire } from "./wire-guard.js";

/** Where connections go: an address or a Unix socket. */
interface Place {
  readonly protocol: "http:" | "https:";
  readonly host?: string;
  readonly port?: string;
  readonly socketPath?: string;
}

export interface Upstream {
  /** For http-proxy: the target, and the agent that opens a connection for each request. */
  readonly target: Place;
  readonly agent: HttpAgent;
  /** A path of Glance's, below that of `upstream.url`. */
  path(path: string): string;
  /**
   * Opens a request on a connection of its own; nothing is sent before the first `write`, `end` or `flushHeaders`.
   * @param lines `Host` is Glance's own where it is not among them.
   */
  request(method: string, path: string, lines: readonly HeaderLine[]): ClientRequest;
  /** When Glance was last found to send a byte or to take one of a body: see {@link Activity}. */
  lastActivity(): number;
  /** What is shown to Glance; for the metric of its expiry. */
  credentials(): Credentials;
  /** Reads the files of `upstream.tls` again, for new connections. @throws ConfigError, and keeps what it had. */
  reload(): void;
}

/** @throws ConfigError where a file of `upstream.tls` cannot be used. */
export function createUpstream(config: Config["upstream"]): Upstream {
  const place = placeOf(config.url);
  const { protocol, host, port, socketPath } = place;
  const base = socketPath === undefined ? config.url.pathname.replace(/\/+$/, "") : "";
  const authority = socketPath === undefined ? config.url.host : "localhost";
  const secure = protocol === "https:";
  let credentials = secure ? readUpstreamCredentials(config.tls) : {};
  const activity = createActivity();
  const prepare: Prepare = (connection) => prepareConnection(connection, config.connectTimeout, activity);
  const openAgent = (): HttpAgent => createAgent(config, place, secure ? credentials : undefined, prepare);
  let agent = openAgent();
  const createConnection = secure ? undefined : connectPlain(place, prepare);
  const request = secure ? httpsRequest : httpRequest;
  return {
    target: place,
    get agent() {
      return agent;
    },
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
        // Plain HTTP needs nothing of an agent, which has work with every request. For TLS it keeps the sessions.
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
      agent = openAgent(); // a session of the old one would be resumed with the old certificate
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

function connectPlain({ host, port, socketPath }: Place, prepare: Prepare): () => Socket {
  const to = socketPath === undefined ? { host, port: Number(port) } : { path: socketPath };
  // Options that `connect` would copy into the socket live long in V8, and all that hangs on them.
  return () => prepare(new Socket().setNoDelay().connect(to));
}

type Prepare = <Connection extends Duplex>(connection: Connection) => Connection;

/** What holds for every connection to Glance. */
function prepareConnection<Connection extends Duplex>(
  connection: Connection,
  connectTimeoutMs: number,
  activity: Activity,
): Connection {
  if (connection instanceof Socket) activity.watch(connection);
  return guardWire(reportWriteErrorsLate(limitConnecting(connection, connectTimeoutMs)));
}

/**
 * No connection is used again: what a Glance sends behind the end of an answer would be taken for the answer to the next request,
 * and a connection that closes at the wrong moment would lose one.
 *
 * @param credentials what is shown to Glance; undefined without TLS.
 */
function createAgent(
  config: Config["upstream"],
  place: Place,
  credentials: Credentials | undefined,
  prepare: Prepare,
): HttpAgent {
  const agent = credentials
    ? new HttpsAgent({ keepAlive: false, ...verification(config, place), ...credentials })
    : new HttpAgent({ keepAlive: false });
  const open = agent.createConnection.bind(agent);
  agent.createConnection = (options, callback) => {
    const connection = open(options, callback);
    return connection && prepare(connection);
  };
  showWholeHeads(agent);
  return agent;
}

/** Node's client, too, shows the first 1,000 lines of a head and drops the rest. */
function showWholeHeads(agent: HttpAgent): void {
  const shown = agent as unknown as { addRequest(request: ClientRequest, options: object): void };
  const add = shown.addRequest.bind(agent);
  shown.addRequest = (request, options) => {
    request.maxHeadersCount = 0;
    add(request, options);
  };
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
