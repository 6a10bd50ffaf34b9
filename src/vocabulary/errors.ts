/** Everything that can go wrong between a client and Glance, in one table. Branch on `code`. */
import type { Outcome } from "./outcomes.js";

/** Failures between the proxy and Glance; a label of the metrics. */
export const UPSTREAM_ERROR_KINDS = [
  "connect",
  "connect_timeout",
  "timeout",
  "reset",
  "protocol",
  "early_success",
  "truncated",
  "framing",
] as const;
export type UpstreamErrorKind = (typeof UPSTREAM_ERROR_KINDS)[number];

/** The error types of RFC 9209, section 2.3, that this proxy reports in `Proxy-Status`. */
export type ProxyErrorType =
  | "connection_refused"
  | "connection_terminated"
  | "connection_timeout"
  | "destination_ip_unroutable"
  | "destination_not_found"
  | "dns_error"
  | "http_protocol_error"
  | "http_request_denied"
  | "http_request_error"
  | "http_response_incomplete"
  | "http_response_timeout"
  | "proxy_internal_error"
  | "proxy_loop_detected"
  | "tls_certificate_error"
  | "tls_protocol_error";

interface ErrorRow {
  /** The HTTP status of the answer. */
  readonly status: number;
  /** How an upload that fails with this error is counted. */
  readonly outcome: Outcome;
  /** What `Proxy-Status` of the answer says. */
  readonly proxyStatus: ProxyErrorType;
  /** Set if the failure lies between the proxy and Glance. */
  readonly upstreamKind?: UpstreamErrorKind;
}

function ofGlance(status: number, upstreamKind: UpstreamErrorKind, proxyStatus: ProxyErrorType): ErrorRow {
  return { status, outcome: "upstream_error", upstreamKind, proxyStatus };
}

const ERRORS = {
  // the client's request as a whole
  bad_request: { status: 400, outcome: "upstream_error", proxyStatus: "http_request_error" },
  forbidden: { status: 403, outcome: "upstream_error", proxyStatus: "http_request_denied" },
  head_too_large: { status: 431, outcome: "upstream_error", proxyStatus: "http_request_error" },
  not_found: { status: 404, outcome: "upstream_error", proxyStatus: "destination_not_found" },
  conflict: { status: 409, outcome: "upstream_error", proxyStatus: "http_request_denied" },
  expectation_failed: { status: 417, outcome: "upstream_error", proxyStatus: "http_request_error" },
  not_implemented: { status: 501, outcome: "upstream_error", proxyStatus: "http_request_error" },
  loop: { status: 508, outcome: "upstream_error", proxyStatus: "proxy_loop_detected" },
  // the client's body
  malformed_body: { status: 400, outcome: "client_aborted", proxyStatus: "http_request_error" },
  // the client's upload
  invalid_size: { status: 400, outcome: "invalid_size", proxyStatus: "http_request_error" },
  size_exceeded: { status: 400, outcome: "size_exceeded", proxyStatus: "http_request_error" },
  size_mismatch: { status: 400, outcome: "size_mismatch", proxyStatus: "http_request_error" },
  invalid_digest: { status: 400, outcome: "digest_mismatch", proxyStatus: "http_request_error" },
  digest_mismatch: { status: 400, outcome: "digest_mismatch", proxyStatus: "http_request_error" },
  too_large: { status: 413, outcome: "too_large", proxyStatus: "http_request_error" },
  length_required: { status: 411, outcome: "length_required", proxyStatus: "http_request_error" },
  busy: { status: 429, outcome: "busy", proxyStatus: "http_request_denied" },
  spool_full: { status: 507, outcome: "busy", proxyStatus: "proxy_internal_error" },
  client_timeout: { status: 408, outcome: "client_timeout", proxyStatus: "http_request_error" },
  client_aborted: { status: 400, outcome: "client_aborted", proxyStatus: "http_request_error" }, // the client has disconnected and reads no answer
  // Glance
  upstream_unreachable: ofGlance(502, "connect", "connection_refused"),
  upstream_unresolved: ofGlance(502, "connect", "dns_error"),
  upstream_unroutable: ofGlance(502, "connect", "destination_ip_unroutable"),
  upstream_tls: ofGlance(502, "connect", "tls_protocol_error"),
  upstream_certificate: ofGlance(502, "connect", "tls_certificate_error"),
  upstream_connect_timeout: ofGlance(504, "connect_timeout", "connection_timeout"),
  upstream_timeout: ofGlance(504, "timeout", "http_response_timeout"),
  upstream_reset: ofGlance(502, "reset", "connection_terminated"),
  upstream_protocol: ofGlance(502, "protocol", "http_protocol_error"),
  upstream_truncated: ofGlance(502, "truncated", "http_response_incomplete"),
  upstream_early_success: ofGlance(502, "early_success", "http_protocol_error"),
  upstream_framing: ofGlance(502, "framing", "http_protocol_error"),
  // the proxy
  internal: { status: 500, outcome: "upstream_error", proxyStatus: "proxy_internal_error" },
} as const satisfies Record<string, ErrorRow>;

export type ProxyErrorCode = keyof typeof ERRORS;

/** An error with its answer in Glance's format. `message` is the explanation for the client. */
export class ProxyError extends Error {
  readonly code: ProxyErrorCode;
  readonly status: number;
  /** How an upload that fails with this error is counted. */
  readonly outcome: Outcome;
  /** What `Proxy-Status` of the answer says. */
  readonly proxyStatus: ProxyErrorType;
  /** Undefined if the failure does not lie between the proxy and Glance. */
  readonly upstreamKind: UpstreamErrorKind | undefined;
  /** Further headers of the answer, such as `Retry-After`. */
  readonly headers: Readonly<Record<string, string>>;
  /** The upload was refused by `replay.guard`. */
  readonly isReplay: boolean;

  constructor(
    code: ProxyErrorCode,
    explanation: string,
    options: {
      readonly cause?: unknown;
      readonly headers?: Readonly<Record<string, string>>;
      readonly isReplay?: boolean;
    } = {},
  ) {
    super(explanation, options.cause === undefined ? {} : { cause: options.cause });
    this.name = "ProxyError";
    this.code = code;
    const row: ErrorRow = ERRORS[code];
    this.status = row.status;
    this.outcome = row.outcome;
    this.proxyStatus = row.proxyStatus;
    this.upstreamKind = row.upstreamKind;
    this.headers = options.headers ?? {};
    this.isReplay = options.isReplay ?? false;
  }
}

/** More bytes than declared, in Glance's words. @param cause set if no byte was counted, because two declared sizes differ. */
export function sizeExceeded(expected: number, got: number, cause?: Error): ProxyError {
  const explanation = `Size exceeds: expected ${expected} bytes, got ${got} bytes`;
  return new ProxyError("size_exceeded", explanation, { cause });
}

/** Fewer bytes than declared, in Glance's words. @param cause as in {@link sizeExceeded}. */
export function sizeMismatch(expected: number, got: number, cause?: Error): ProxyError {
  const explanation = `Size mismatch: expected ${expected} bytes, got ${got} bytes`;
  return new ProxyError("size_mismatch", explanation, { cause });
}

/** More bytes than `limits.maxImageSize`. */
export function tooLarge(bytes: number, maxBytes: number): ProxyError {
  return new ProxyError(
    "too_large",
    `The incoming image is too large: ${bytes} bytes. The maximum is ${maxBytes} bytes.`,
  );
}

/** The client sent nothing for `limits.idleTimeout`. */
export function clientTimeout(): ProxyError {
  return new ProxyError("client_timeout", "The client sent no data in time.");
}

/** The client has disconnected, so it does not read this. */
export function clientAborted(): ProxyError {
  return new ProxyError("client_aborted", "The client disconnected before the request body ended.");
}

/** The body is not valid HTTP, for example because of a malformed chunk. */
export function malformedBody(): ProxyError {
  return new ProxyError("malformed_body", "The request body is not valid HTTP.");
}

/** Converts anything thrown. If it is not a ProxyError, it is a defect of the proxy. */
export function toProxyError(cause: unknown): ProxyError {
  return cause instanceof ProxyError
    ? cause
    : new ProxyError("internal", "Internal error in the proxy. Its log has the cause.", { cause });
}

/** What the log shows of an error. */
export function describeError({ message, cause }: ProxyError): {
  readonly reason: string;
  readonly cause: string | undefined;
} {
  return { reason: message, cause: cause instanceof Error ? cause.message : undefined };
}
