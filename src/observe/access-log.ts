/** The lines of the log about requests that are not uploads. */
import type { Exchange } from "../client/exchange.js";
import { createRequestHead } from "../http/request-head.js";
import { REQUEST_ID_HEADER, traceparentOf } from "../http/request-id.js";
import { cutText } from "./cut-text.js";
import type { Log } from "./log.js";

/** Which requests get a line. `errors`: those with a status of 400 or more, and those whose answer was broken off. */
export type AccessLevel = "none" | "errors" | "all";

export interface AccessLog {
  /**
   * The response is closed.
   *
   * @param status the status that the client got.
   * @param writtenBefore bytes that had been written to the client's connection before the request.
   */
  closed(exchange: Exchange, status: number, durationSeconds: number, writtenBefore: number): void;
}

/** @returns undefined if no request gets a line. */
export function createAccessLog(level: AccessLevel, log: Log): AccessLog | undefined {
  return level === "none" ? undefined : new RequestLines(level === "all", log);
}

class RequestLines implements AccessLog {
  readonly #all: boolean;
  readonly #log: Log;

  constructor(all: boolean, log: Log) {
    this.#all = all;
    this.#log = log;
  }

  closed(exchange: Exchange, status: number, durationSeconds: number, writtenBefore: number): void {
    const { request, response, notes } = exchange;
    if (notes.hasLine) return;
    const isWhole = response.writableFinished;
    if (isWhole && status < 400 && !this.#all) return;
    const { answer } = notes;
    const glanceRequestId = answer && createRequestHead(answer.rawHeaders).values(REQUEST_ID_HEADER)[0];
    const line = Object.assign(describeRequest(exchange), {
      glanceRequestId: cutText(glanceRequestId),
      status,
      brokenOffBy: isWhole ? undefined : notes.isTruncated ? "glance" : "client",
      sentBytes: request.socket.bytesWritten - writtenBefore,
      durationSeconds,
    });
    this.#log.info(line, "request");
  }
}

/** Names each field: headers and queries may contain secrets. */
export function describeRequest({ request, head, requestId, clientRequestId, peer }: Exchange) {
  return {
    requestId,
    clientRequestId: cutText(clientRequestId),
    traceparent: cutText(traceparentOf(head)),
    method: request.method,
    path: cutText(pathOf(request.url)),
    peer: peer.address,
    userAgent: cutText(head.values("user-agent")[0]),
  };
}

/** @returns the path without its query, which may contain tokens. Undefined for a whole URL, which may contain a password. */
function pathOf(url = ""): string | undefined {
  return url.startsWith("/") ? url.split(/[?#]/, 1)[0] : undefined;
}
