/** Opens connections and requests to Glance. */
import {
  Agent as HttpAgent,
  type ClientRequest,
  type IncomingMessage,
  request as httpRequest,
  type RequestOptions,
} from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { isIP, type OnReadOpts, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import type { Config } from "../config/config.js";
import { type Credentials, readCredentials } from "../http/credentials.js";
import { flatten, type HeaderLine, valuesOf } from "../http/request-head.js";
import { soon } from "../http/soon.js";
import { AnswerConnection, createAnswerMemory } from "../raw-io/answer-connection.js";
import type { RawAnswer } from "../raw-io/raw-answer.js";
import { type Activity, createActivity } from "./activity.js";
import { ConnectTimeout } from "./failures.js";
import { GlanceSocket } from "./glance-socket.js";
import { reportWriteErrorsLate } from "./late-write-errors.js";
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
  /** As `request`, for a GET without a body. The body of its answer can be read into reused memory. */
  requestRaw(path: string, lines: readonly HeaderLine[]): RawRequest;
  /** When Glance was last active. Shared by all objects for one Glance. */
  readonly activity: Activity;
  /** The certificate presented to Glance, for the expiry metric. */
  credentials(): Credentials;
}

export interface RawRequest {
  readonly request: ClientRequest;
  /** Call it while `response` is emitted. @returns undefined if Node must read the body. */
  claim(answer: IncomingMessage): RawAnswer | undefined;
}

/**
 * @param activity of the same Glance, seen through another object.
 * @throws ConfigError if a file of `upstream.tls` cannot be used.
 */
export function createUpstream(config: Config["upstream"], activity = createActivity()): Upstream {
  return new GlanceUpstream(config, activity);
}

/**
 * For a new configuration. The files are read again: a connection never resumes a session with an old certificate.
 *
 * @throws ConfigError if a file of `upstream.tls` cannot be used.
 */
export function renewUpstream(
  upstream: Upstream,
  before: Config["upstream"],
  after: Config["upstream"],
): Upstream {
  return createUpstream(after, before.url.href === after.url.href ? upstream.activity : undefined);
}

class GlanceUpstream implements Upstream {
  readonly target: GlanceAddress;
  readonly #config: Config["upstream"];
  readonly #isSecure: boolean;
  /** The path of `upstream.url`. */
  readonly #base: string;
  readonly #authority: string;
  readonly activity: Activity;
  readonly #answerMemory = createAnswerMemory();
  readonly #credentials: Credentials;
  readonly agent: HttpAgent;

  constructor(config: Config["upstream"], activity: Activity) {
    const { url } = config;
    this.#config = config;
    this.activity = activity;
    this.target = addressOf(url);
    this.#isSecure = this.target.protocol === "https:";
    const isSocket = this.target.socketPath !== undefined;
    this.#base = isSocket ? "" : url.pathname.replace(/\/+$/, "");
    this.#authority = isSocket ? "localhost" : url.host;
    this.#credentials = this.#isSecure ? readUpstreamCredentials(config.tls) : {};
    this.agent = this.#openAgent();
  }

  path(path: string): string {
    return this.#base + path;
  }

  request(method: string, path: string, lines: readonly HeaderLine[]): ClientRequest {
    return this.#open(method, path, lines, this.#isSecure ? {} : { createConnection: () => this.#connect() });
  }

  requestRaw(path: string, lines: readonly HeaderLine[]): RawRequest {
    const connection = new AnswerConnection(this.#answerMemory);
    const { onread } = connection;
    const attach = (to: Socket): Duplex => connection.attach(to);
    const how = this.#isSecure
      ? { onread, attach }
      : { createConnection: () => attach(this.#connect({ onread })) };
    return {
      request: this.#open("GET", path, lines, how),
      claim: (answer) => connection.claim(answer),
    };
  }

  credentials(): Credentials {
    return this.#credentials;
  }

  #open(method: string, path: string, lines: readonly HeaderLine[], how: ConnectOptions): ClientRequest {
    const headers = flatten(lines);
    if (valuesOf(lines, "host").length === 0) headers.push("host", this.#authority);
    headers.push("connection", "close");
    const { protocol, host, port } = this.target;
    const target = this.#base + path;
    // Written out, not spread: V8 learns the shape of a spread literal anew for each request. Node copies the options twice, each at
    // some cost, so it gets no others. Plain HTTP needs no agent, and host and port for tracing alone. TLS needs an agent to resume sessions.
    const options = this.#isSecure
      ? {
          protocol,
          host,
          port,
          agent: this.agent,
          onread: how.onread,
          attach: how.attach,
          method,
          path: target,
          headers,
        }
      : { host, port, createConnection: how.createConnection, method, path: target, headers };
    const request = this.#isSecure ? httpsRequest : httpRequest;
    const opened = request(options as RequestOptions);
    opened.maxHeadersCount = 0;
    return opened;
  }

  /** Without TLS. */
  #connect(options: { readonly onread?: OnReadOpts } = {}): Socket {
    const { host = "", port, socketPath } = this.target;
    const to = socketPath === undefined ? { host, port: Number(port) } : { path: socketPath };
    const socket = new GlanceSocket(options).setNoDelay().connect(to);
    // What was written meanwhile goes out together with what was written to other new connections.
    socket.cork();
    onceConnected(socket, () => void soon().then(() => socket.uncork()));
    return this.#watch(socket);
  }

  /**
   * No connection is reused: bytes that Glance sends after an answer would be read as the answer to the next request, and a request is
   * lost if Glance closes the connection at the wrong moment.
   */
  #openAgent(): HttpAgent {
    const agent = this.#isSecure
      ? new HttpsAgent({ keepAlive: false, ...verification(this.#config, this.target), ...this.#credentials })
      : new HttpAgent({ keepAlive: false });
    const open = agent.createConnection.bind(agent);
    agent.createConnection = (options, callback) => {
      if (!this.#isSecure) return this.#connect();
      const connection = open(options, callback);
      if (!connection) return connection;
      const secured = this.#secure(connection);
      const { attach } = options as ConnectOptions;
      return attach ? attach(secured as Socket) : secured;
    };
    showWholeHeads(agent);
    return agent;
  }

  /** Prepares a connection with TLS. */
  #secure(connection: Duplex): Duplex {
    return guardWire(reportWriteErrorsLate(this.#watch(connection)));
  }

  #watch<Connection extends Duplex>(connection: Connection): Connection {
    if (connection instanceof Socket) this.activity.watch(connection);
    return limitConnecting(connection, this.#config.connectTimeoutMs);
  }
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

/** Options of one connection. The last two are for TLS: Node's agent passes them on. */
interface ConnectOptions {
  readonly createConnection?: () => Duplex;
  readonly onread?: OnReadOpts;
  /** Wraps the connection. */
  readonly attach?: (connection: Socket) => Duplex;
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
