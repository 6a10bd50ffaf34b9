/** Everything that can go wrong between a client and Glance, in one table. Branch on `code`. */

const STATUS = Object.freeze({
  // the client's request as a whole
  bad_request: 400,
  head_too_large: 431,
  not_found: 404,
  conflict: 409,
  expectation_failed: 417,
  not_implemented: 501,
  loop: 508,
  // the client's body
  malformed_body: 400,
  // the client's upload
  invalid_size: 400,
  size_exceeded: 400,
  size_mismatch: 400,
  too_large: 413,
  length_required: 411,
  busy: 429,
  spool_full: 507,
  client_timeout: 408,
  client_aborted: 400, // nobody is left to read it
  // Glance
  upstream_unreachable: 502,
  upstream_connect_timeout: 504,
  upstream_timeout: 504,
  upstream_failed: 502,
  upstream_early_success: 502,
  upstream_framing: 502,
  // ourselves
  internal: 500,
});

export type ProxyErrorCode = keyof typeof STATUS;

/** An error with the answer it gives: Glance-shaped, `message` being the explanation the client reads. */
export class ProxyError extends Error {
  readonly code: ProxyErrorCode;
  readonly status: number;
  /** Further headers of the answer, such as `Retry-After`. */
  readonly headers: Readonly<Record<string, string>>;
  /** An upload that looks like the rest of one that has just failed. */
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
    this.status = STATUS[code];
    this.headers = options.headers ?? {};
    this.isReplay = options.isReplay ?? false;
  }
}

/** The client sent nothing for `limits.idleTimeout`. */
export function clientTimeout(): ProxyError {
  return new ProxyError("client_timeout", "The client sent no data in time.");
}

/** The client is gone; nobody is left to read this. */
export function clientAborted(): ProxyError {
  return new ProxyError("client_aborted", "The client went away before its body had ended.");
}

/** What the client sends in place of a body, or in its middle, is not one: a malformed chunk, for example. */
export function malformedBody(): ProxyError {
  return new ProxyError("malformed_body", "The request body is not valid HTTP.");
}

/** Anything thrown, as an error with an answer. What is not one of ours is a defect of ours. */
export function toProxyError(cause: unknown): ProxyError {
  return cause instanceof ProxyError ? cause : new ProxyError("internal", "The proxy failed.", { cause });
}
