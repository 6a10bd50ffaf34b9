/** Finds heads of Glance's answers that Node accepts but that the proxy cannot pass on. Pure. */
import type { IncomingMessage } from "node:http";
import { createRequestHead } from "../http/request-head.js";

/** Has an HPE_* code, so that the failure is reported as `protocol`. */
class UnrelayableHead extends Error {
  readonly code = "HPE_INVALID_ANSWER";
}

/**
 * Node's parser accepts any three digits as a status and any bytes as a reason phrase, but `writeHead` throws on some of them. It also
 * accepts transfer codings that the proxy does not decode: the client would misread such a body without its `Transfer-Encoding`.
 *
 * @returns undefined if the answer can be passed on.
 */
export function unrelayableHead(answer: IncomingMessage): Error | undefined {
  const { statusCode = 0, statusMessage = "" } = answer;
  if (statusCode < 200 || statusCode > 999 || !/^[\t\x20-\x7e\x80-\xff]*$/.test(statusMessage)) {
    return new UnrelayableHead(`status ${statusCode} ${JSON.stringify(statusMessage)}`);
  }
  const codings = createRequestHead(answer.rawHeaders).values("transfer-encoding");
  if (codings.length > 0 && codings.join().toLowerCase() !== "chunked") {
    return new UnrelayableHead(`Transfer-Encoding: ${codings.join(", ")}`);
  }
  return undefined;
}
