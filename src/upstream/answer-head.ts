/** Which heads of Glance's answers Node reads, though the proxy cannot pass them on. Pure. */
import type { IncomingMessage } from "node:http";

/** The code begins like those of Node's parser, so that the failure counts as one of the protocol. */
class UnrelayableHead extends Error {
  readonly code = "HPE_INVALID_ANSWER";
}

/**
 * Node's parser takes any three digits as a status and any bytes as a reason phrase; `writeHead` throws at some of them. It also takes
 * transfer codings that the proxy does not decode: without its `Transfer-Encoding` such a body would mean something else.
 *
 * @returns undefined if the answer can go to a client.
 */
export function unrelayableHead(answer: IncomingMessage): Error | undefined {
  const { statusCode = 0, statusMessage = "" } = answer;
  if (statusCode < 200 || statusCode > 999 || !/^[\t\x20-\x7e\x80-\xff]*$/.test(statusMessage)) {
    return new UnrelayableHead(`status ${statusCode} ${JSON.stringify(statusMessage)}`);
  }
  const coding = answer.headers["transfer-encoding"];
  if (coding !== undefined && coding.trim().toLowerCase() !== "chunked") {
    return new UnrelayableHead(`Transfer-Encoding: ${coding}`);
  }
  return undefined;
}
