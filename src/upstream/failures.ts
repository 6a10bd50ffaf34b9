/** Turns failures between the proxy and Glance into errors for the client. Pure. */
import { ProxyError, type ProxyErrorCode } from "../vocabulary/errors.js";
import { UnannouncedBytes } from "./wire-guard.js";

/** `upstream.connectTimeout` has passed. */
export class ConnectTimeout extends Error {
  readonly code = "GLANCE_CONNECT_TIMEOUT";
}

/** Converts an error of a socket or of the parser. */
export function toUpstreamError(cause: unknown): ProxyError {
  if (cause instanceof ProxyError) return cause;
  if (cause instanceof ConnectTimeout) {
    return new ProxyError("upstream_connect_timeout", "Glance did not accept the connection in time.", {
      cause,
    });
  }
  if (cause instanceof UnannouncedBytes) {
    return new ProxyError(
      "upstream_framing",
      "The request contains bytes that its headers do not announce.",
      {
        cause,
        headers: { connection: "close" }, // bytes after this request cannot be trusted
      },
    );
  }
  const tls = tlsError(cause);
  if (tls) return new ProxyError(tls, "Glance cannot be reached: the TLS connection failed.", { cause });
  if (isConnectError(cause)) {
    return new ProxyError(connectError(cause), "Glance cannot be reached.", { cause });
  }
  if (isProtocolError(cause)) {
    return new ProxyError("upstream_protocol", "Glance's answer is not valid HTTP.", { cause });
  }
  return new ProxyError("upstream_reset", "Glance closed the connection before it answered.", { cause });
}

/** If all addresses of a host name refuse, Node gives one AggregateError without `syscall`. */
function isConnectError(cause: unknown): boolean {
  if (cause instanceof AggregateError) return cause.errors.length > 0 && cause.errors.every(isConnectError);
  const { code, syscall } = cause as NodeJS.ErrnoException;
  return syscall === "connect" || syscall === "getaddrinfo" || code === "ENOTFOUND" || code === "EAI_AGAIN";
}

function connectError(cause: unknown): ProxyErrorCode {
  const [first] = cause instanceof AggregateError ? (cause.errors as unknown[]) : [cause];
  const { code, syscall } = first as NodeJS.ErrnoException;
  if (syscall === "getaddrinfo" || code === "ENOTFOUND" || code === "EAI_AGAIN") return "upstream_unresolved";
  return code === "EHOSTUNREACH" || code === "ENETUNREACH" ? "upstream_unroutable" : "upstream_unreachable";
}

/** TLS handshake or certificate errors. Nothing of the request was sent. @returns undefined for other errors. */
function tlsError(cause: unknown): ProxyErrorCode | undefined {
  const { code = "" } = cause as NodeJS.ErrnoException;
  if (/^(CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|ERR_TLS_CERT_)/.test(code))
    return "upstream_certificate";
  return /^(ERR_TLS|ERR_SSL|EPROTO$)/.test(code) ? "upstream_tls" : undefined;
}

function isProtocolError(cause: unknown): boolean {
  return String((cause as NodeJS.ErrnoException | undefined)?.code).startsWith("HPE_");
}

/** Node says no more than that the request to Glance is over. */
export function closedUnanswered(): Error {
  return new Error("closed without an answer");
}

/** An answer that was cut off before the client received any of it. */
export function truncatedAnswer(): ProxyError {
  return new ProxyError("upstream_truncated", "Glance's answer is incomplete: the connection was cut.");
}

/** Glance was silent for longer than `upstream.responseTimeout`. */
export function upstreamTimeout(): ProxyError {
  return new ProxyError("upstream_timeout", "Glance did not answer in time.");
}
