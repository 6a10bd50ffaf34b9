/**
 * Refuses requests that Node accepts but that Glance or its WSGI server reads in another way. Each was observed to make an image active
 * without its data, to hang a worker or to smuggle a request.
 */
import type { IncomingMessage, Server } from "node:http";
import { ProxyError } from "../vocabulary/errors.js";
import type { AnnouncedBody } from "./announced-body.js";
import type { RequestHead } from "./request-head.js";

const BODY_METHODS = new Set(["PATCH", "POST", "PUT"]);

/** Node's default of `maxHeadersCount`. */
const NODE_MAX_HEADERS_COUNT = 1_000;

/**
 * Node silently drops all header lines after the first `maxHeadersCount`, but its parser still obeys a dropped `Content-Length` or
 * `Transfer-Encoding`. So a head that may be truncated must be refused.
 */
export function isHeadWhole({ rawHeaders, socket }: IncomingMessage): boolean {
  const { server } = socket as { readonly server?: Server };
  const shown = server?.maxHeadersCount ?? NODE_MAX_HEADERS_COUNT;
  // 0: no limit.
  return shown <= 0 || rawHeaders.length / 2 < shown;
}

/** @throws ProxyError `head_too_large`. */
export function requireWholeHead(request: IncomingMessage): void {
  if (isHeadWhole(request)) return;
  throw badFraming("head_too_large", "The request has too many header lines.");
}

/** Checks every request. @throws ProxyError `bad_request`, `expectation_failed` or `not_implemented`. */
export function guardRequest(
  method: string,
  httpVersion: string,
  head: RequestHead,
  announced: AnnouncedBody,
): void {
  // Node's parser also accepts 0.9 and 2.0, and reads a body after them.
  if (httpVersion !== "1.0" && httpVersion !== "1.1") {
    throw badFraming("bad_request", `HTTP/${httpVersion}: only HTTP/1.0 and HTTP/1.1 are supported.`);
  }
  if (announced.kind === "chunked") guardTransferEncoding(method, httpVersion, head);
  if (BODY_METHODS.has(method) && announced.kind === "none") {
    // Empty by the rules of HTTP, but such a client meant to send a body, and would get an image without data.
    if (httpVersion === "1.0") throw badFraming("bad_request", "Content-Length: required by HTTP/1.0.");
    if (head.lines.some(({ name }) => name === "content_length" || name === "transfer_encoding")) {
      throw badFraming(
        "bad_request",
        "Content-Length, Transfer-Encoding: write the name with a hyphen, not with an underscore.",
      );
    }
  }
  const [expectation] = head.values("expect");
  if (expectation !== undefined && expectation.toLowerCase() !== "100-continue") {
    throw new ProxyError("expectation_failed", "Expect: only '100-continue' is supported.");
  }
  const hosts = head.values("host").length;
  if (hosts > 1) throw new ProxyError("bad_request", "Host: sent more than once.");
  if (hosts === 0 && httpVersion === "1.1") throw new ProxyError("bad_request", "Host: missing.");
}

function guardTransferEncoding(method: string, httpVersion: string, head: RequestHead): void {
  const encodings = head.values("transfer-encoding");
  // Newer versions of Node refuse this themselves, with 400.
  if (encodings.includes("")) throw badFraming("bad_request", "Transfer-Encoding: empty.");
  if (encodings.length > 1 || encodings[0]?.toLowerCase() !== "chunked") {
    throw badFraming("not_implemented", "Transfer-Encoding: only 'chunked' is supported.");
  }
  if (httpVersion === "1.0") throw badFraming("bad_request", "Transfer-Encoding: not allowed in HTTP/1.0.");
  if (method === "DELETE" || method === "OPTIONS") {
    // http-proxy would declare an empty body and send it nevertheless.
    throw new ProxyError("bad_request", `Transfer-Encoding: not allowed with ${method}.`);
  }
}

/** For all requests except uploads, which answer an invalid `Content-Length` as an invalid size. @throws ProxyError `bad_request`. */
export function guardContentLength(announced: AnnouncedBody): void {
  if (announced.kind === "invalid") {
    throw badFraming("bad_request", "Content-Length: not a plain decimal number.");
  }
}

/** Refuses partial uploads, of which Glance would make an image (RFC 9110, section 14.5). @throws ProxyError `bad_request`. */
export function guardUpload(head: RequestHead): void {
  if (head.values("content-range").length > 0) {
    throw new ProxyError("bad_request", "Content-Range: not allowed with an upload. Send the whole image.");
  }
}

/** A server in front of the proxy may see another end of such a message, so the connection must close (RFC 9112, section 6.1). */
function badFraming(code: "bad_request" | "not_implemented" | "head_too_large", message: string): ProxyError {
  return new ProxyError(code, message, { headers: { connection: "close" } });
}
