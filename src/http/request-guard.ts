/**
 * Requests that Node accepts but that Glance, or Glance's WSGI server, would read in another way. Each was seen to make an
 * image active without its data, to hang a worker or to smuggle a request.
 */
import type { IncomingMessage, Server } from "node:http";
import { ProxyError } from "../vocabulary/errors.js";
import type { AnnouncedBody } from "./announced-body.js";
import type { RequestHead } from "./request-head.js";

const BODY_METHODS = new Set(["PATCH", "POST", "PUT"]);

/** What Node shows of a head unless the server's `maxHeadersCount` is set. */
const NODE_MAX_HEADERS_COUNT = 1_000;

/**
 * Node shows the first `maxHeadersCount` lines of a head and drops the rest without a word, but its parser still obeys a dropped
 * `Content-Length` or `Transfer-Encoding`. So nothing can be decided on a head that may have been cut.
 */
export function isHeadWhole({ rawHeaders, socket }: IncomingMessage): boolean {
  const { server } = socket as { readonly server?: Server };
  const shown = server?.maxHeadersCount ?? NODE_MAX_HEADERS_COUNT;
  // 0: every line is shown.
  return shown <= 0 || rawHeaders.length / 2 < shown;
}

/** @throws ProxyError `head_too_large`. */
export function requireWholeHead(request: IncomingMessage): void {
  if (isHeadWhole(request)) return;
  throw badFraming("head_too_large", "The request has too many header lines.");
}

/** What holds for every request. @throws ProxyError `bad_request`, `expectation_failed` or `not_implemented`. */
export function guardRequest(
  method: string,
  httpVersion: string,
  head: RequestHead,
  announced: AnnouncedBody,
): void {
  // Node's parser knows 0.9 and 2.0 too, and reads a body behind either.
  if (httpVersion !== "1.0" && httpVersion !== "1.1") {
    throw badFraming("bad_request", `HTTP/${httpVersion}: only HTTP/1.0 and HTTP/1.1 are supported.`);
  }
  if (announced.kind === "chunked") guardTransferEncoding(method, httpVersion, head);
  if (BODY_METHODS.has(method) && announced.kind === "none") {
    // Empty by the rules; but whoever wrote these meant to send a body, and would get an image without data.
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
  // Newer Nodes refuse this one themselves, with 400.
  if (encodings.includes("")) throw badFraming("bad_request", "Transfer-Encoding: empty.");
  if (encodings.length > 1 || encodings[0]?.toLowerCase() !== "chunked") {
    throw badFraming("not_implemented", "Transfer-Encoding: only 'chunked' is supported.");
  }
  if (httpVersion === "1.0") throw badFraming("bad_request", "Transfer-Encoding: not allowed in HTTP/1.0.");
  if (method === "DELETE" || method === "OPTIONS") {
    // http-proxy would declare the body empty and send it all the same.
    throw new ProxyError("bad_request", `Transfer-Encoding: not allowed with ${method}.`);
  }
}

/** Of an upload a wrong `Content-Length` is a wrong size, and answered as such. @throws ProxyError `bad_request`. */
export function guardContentLength(announced: AnnouncedBody): void {
  if (announced.kind === "invalid") {
    throw badFraming("bad_request", "Content-Length: not a plain decimal number.");
  }
}

/** A part of an image must not become one (RFC 9110, section 14.5). @throws ProxyError `bad_request`. */
export function guardUpload(head: RequestHead): void {
  if (head.values("content-range").length > 0) {
    throw new ProxyError("bad_request", "Content-Range: not allowed with an upload. Send the whole image.");
  }
}

/** Whoever stands in front of us may see the end of such a message elsewhere: nothing after it may be read (RFC 9112, 6.1). */
function badFraming(code: "bad_request" | "not_implemented" | "head_too_large", message: string): ProxyError {
  return new ProxyError(code, message, { headers: { connection: "close" } });
}
