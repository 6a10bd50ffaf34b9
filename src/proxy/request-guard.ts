/**
 * Requests that Node accepts but that Glance, or Glance's WSGI server, would read in another way. Each was seen to make an
 * image active without its data, to hang a worker or to smuggle a request. Pure.
 */
import { ProxyError } from "../proxy-error.js";
import { parseContentLength, type RequestHead } from "./request-head.js";

const BODY_METHODS = new Set(["PATCH", "POST", "PUT"]);

/** What holds for every request. @throws ProxyError `bad_request`, `expectation_failed` or `not_implemented`. */
export function guardRequest(method: string, httpVersion: string, head: RequestHead): void {
  // Node's parser knows 0.9 and 2.0 too, and reads a body behind either.
  if (httpVersion !== "1.0" && httpVersion !== "1.1") {
    throw badFraming("bad_request", `HTTP/${httpVersion}: only HTTP/1.0 and HTTP/1.1 are spoken here.`);
  }
  const encodings = head.values("transfer-encoding");
  const chunked = encodings.length > 0;
  // Newer Nodes refuse this one themselves, with 400.
  if (encodings.includes("")) throw badFraming("bad_request", "Transfer-Encoding: empty.");
  if (chunked && (encodings.length > 1 || encodings[0]?.toLowerCase() !== "chunked")) {
    throw badFraming("not_implemented", "Transfer-Encoding: only 'chunked' is supported.");
  }
  if (chunked && httpVersion === "1.0") {
    throw badFraming("bad_request", "Transfer-Encoding: not known to HTTP/1.0.");
  }
  if (chunked && (method === "DELETE" || method === "OPTIONS")) {
    // http-proxy would declare the body empty and send it all the same.
    throw new ProxyError("bad_request", `Transfer-Encoding: not accepted with ${method}.`);
  }
  if (BODY_METHODS.has(method) && !chunked && head.values("content-length").length === 0) {
    // Empty by the rules; but whoever wrote these meant to send a body, and would get an image without data.
    if (httpVersion === "1.0") throw badFraming("bad_request", "Content-Length: required by HTTP/1.0.");
    if (head.lines.some(({ name }) => name === "content_length" || name === "transfer_encoding")) {
      throw badFraming("bad_request", "Content-Length, Transfer-Encoding: not known with an underscore.");
    }
  }
  const [expectation] = head.values("expect");
  if (expectation !== undefined && expectation.toLowerCase() !== "100-continue") {
    throw new ProxyError("expectation_failed", "Expect: only '100-continue' is known.");
  }
  const hosts = head.values("host").length;
  if (hosts > 1) throw new ProxyError("bad_request", "Host: given more than once.");
  if (hosts === 0 && httpVersion === "1.1") throw new ProxyError("bad_request", "Host: missing.");
}

/** Node accepts `05` and numbers beyond 2^53. @throws ProxyError `bad_request`. */
export function guardContentLength(head: RequestHead): void {
  for (const value of head.values("content-length")) {
    if (parseContentLength(value) === undefined) {
      throw badFraming("bad_request", "Content-Length: not a plain decimal number.");
    }
  }
}

/** Whoever stands in front of us may see the end of such a message elsewhere: nothing after it may be read (RFC 9112, 6.1). */
function badFraming(code: "bad_request" | "not_implemented", message: string): ProxyError {
  return new ProxyError(code, message, { headers: { connection: "close" } });
}
