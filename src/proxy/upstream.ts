/** How to reach Glance: one place for its address, connection and the names of its failures. */
import { Agent, request, type ClientRequest, type RequestOptions } from "node:http";
import type { Duplex } from "node:stream";
import type { Config } from "../config/schema.js";
import { ProxyError, type ProxyErrorCode } from "../proxy-error.js";
import type { OutgoingHeaders } from "./forwarded-headers.js";

export interface Upstream {
  /** For http-proxy: the target, with the agent every request has to use. */
  readonly target: { readonly protocol: string; readonly host: string; readonly port: string };
  readonly agent: Agent;
  /** Its `Host`, for requests of the proxy's own. */
  readonly authority: string;
  /** A path of Glance's, below that of `upstream.url`. */
  path(path: string): string;
  /** Opens a request on a connection of its own; nothing is sent before the first `write`, `end` or `flushHeaders`. */
  request(method: string, path: string, headers: OutgoingHeaders): ClientRequest;
}

class ConnectTimeout extends Error {
  readonly code = "GLANCE_CONNECT_TIMEOUT";
}

/**
 * One connection a request: a kept-alive connection that Glance closes at the wrong moment could lose an upload, and
 * uWSGI closes after every answer anyway.
 */
class UpstreamAgent extends Agent {
  constructor(private readonly connectTimeoutMs: number) {
    super({ keepAlive: false });
  }

  override createConnection(
    options: Parameters<Agent["createConnection"]>[0],
    callback?: Parameters<Agent["createConnection"]>[1],
  ): ReturnType<Agent["createConnection"]> {
    const connection = super.createConnection(options, callback);
    if (connection && this.connectTimeoutMs > 0) limitConnecting(connection, this.connectTimeoutMs);
    return connection;
  }
}

function limitConnecting(connection: Duplex, timeoutMs: number): void {
  const timer = setTimeout(
    () => connection.destroy(new ConnectTimeout(`not connected after ${timeoutMs} ms`)),
    timeoutMs,
  );
  const stop = (): void => clearTimeout(timer);
  connection.once("connect", stop).once("close", stop);
}

export function createUpstream(config: Config["upstream"]): Upstream {
  const { protocol, hostname, port, pathname } = config.url;
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  const target = { protocol, host, port: port === "" ? "80" : port };
  const base = pathname.replace(/\/+$/, "");
  const agent = new UpstreamAgent(config.connectTimeout);
  const options: RequestOptions = { ...target, agent };
  return {
    target,
    agent,
    authority: config.url.host,
    path: (path) => base + path,
    request: (method, path, headers) => request({ ...options, method, path: base + path, headers }),
  };
}

/** What happened between the proxy and Glance; a label of the metrics. */
export type UpstreamErrorKind =
  "connect" | "connect_timeout" | "timeout" | "reset" | "protocol" | "early_success" | "truncated";

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
  if (syscall === "connect" || syscall === "getaddrinfo" || code === "ENOTFOUND" || code === "EAI_AGAIN") {
    return new ProxyError("upstream_unreachable", "Glance cannot be reached.", { cause });
  }
  if (isProtocolError(cause)) {
    return new ProxyError("upstream_failed", "Glance sent an answer that is not HTTP.", { cause });
  }
  return new ProxyError("upstream_failed", "Glance closed the connection before it had answered.", { cause });
}

function isProtocolError(cause: unknown): boolean {
  return String((cause as NodeJS.ErrnoException | undefined)?.code).startsWith("HPE_");
}

/** Glance was silent for longer than `upstream.responseTimeout`. */
export function upstreamTimeout(): ProxyError {
  return new ProxyError("upstream_timeout", "Glance did not answer in time.");
}
