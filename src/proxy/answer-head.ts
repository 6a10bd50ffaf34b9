/** What Node reads as the head of an answer, but would not write as one. Pure. */
import type { IncomingMessage } from "node:http";

/** As Node's own parser names its errors, so that this is taken for one of them: not HTTP. */
class InvalidStatusLine extends Error {
  readonly code = "HPE_INVALID_STATUS";
}

/**
 * Three digits are a status for Node's parser, and any bytes a reason phrase; `writeHead` throws at some of them.
 *
 * @returns undefined where the answer can go on to a client.
 */
export function invalidStatusLine(answer: IncomingMessage): Error | undefined {
  const { statusCode = 0, statusMessage = "" } = answer;
  const sendable = statusCode >= 200 && statusCode <= 999 && /^[\t\x20-\x7e\x80-\xff]*$/.test(statusMessage);
  return sendable
    ? undefined
    : new InvalidStatusLine(`status ${statusCode} ${JSON.stringify(statusMessage)}`);
}
