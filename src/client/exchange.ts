/** One request and its response, with the parsed head. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { TLSSocket } from "node:tls";
import { type AnnouncedBody, readAnnouncedBody } from "../http/announced-body.js";
import type { Body } from "../http/body.js";
import type { HeaderForwarder, Peer } from "../http/forwarded-headers.js";
import { isHeadWhole } from "../http/request-guard.js";
import { createRequestHead, type HeaderLine, type RequestHead } from "../http/request-head.js";
import { requestIdOf } from "../http/request-id.js";

export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The request, unless its body was taken over from Node. */
  readonly body: Body;
  readonly head: RequestHead;
  /** Body framing according to the head. */
  readonly announced: AnnouncedBody;
  readonly peer: Peer;
  readonly requestId: string;
  /** @throws ProxyError `loop`. */
  upstreamHeaders(): readonly HeaderLine[];
  /** Whether the client waits for `100 Continue`. */
  readonly awaitsContinue: boolean;
  /** Sends `100 Continue` to a client that waits for it, once. */
  sendContinue(): void;
  /** The same exchange with a body that was taken over from Node. */
  withBody(body: Body): Exchange;
}

export function createExchange(
  request: IncomingMessage,
  response: ServerResponse,
  forwarder: HeaderForwarder,
): Exchange {
  const head = createRequestHead(request.rawHeaders);
  return new HttpExchange({
    request,
    response,
    body: request,
    head,
    // After a truncated head the framing is unknown.
    announced: isHeadWhole(request) ? readAnnouncedBody(head) : { kind: "invalid", value: "" },
    peer: {
      address: request.socket.remoteAddress,
      encrypted: (request.socket as Partial<TLSSocket>).encrypted === true,
    },
    requestId: requestIdOf(head),
    forwarder,
    client: { awaitsContinue: request.httpVersion === "1.1" && expectsContinue(head) },
  });
}

interface Parts extends Pick<
  Exchange,
  "request" | "response" | "body" | "head" | "announced" | "peer" | "requestId"
> {
  readonly forwarder: HeaderForwarder;
  /** Shared by all copies of the exchange. */
  readonly client: { awaitsContinue: boolean };
}

/**
 * A class, because V8 gives each object literal with an accessor a hidden class of its own. One for each request made all later property
 * accesses slow and filled the old generation of the heap: measured, a quarter of a small request's CPU time.
 */
class HttpExchange implements Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly body: Body;
  readonly head: RequestHead;
  readonly announced: AnnouncedBody;
  readonly peer: Peer;
  readonly requestId: string;
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.request = parts.request;
    this.response = parts.response;
    this.body = parts.body;
    this.head = parts.head;
    this.announced = parts.announced;
    this.peer = parts.peer;
    this.requestId = parts.requestId;
    this.#parts = parts;
  }

  upstreamHeaders(): readonly HeaderLine[] {
    return this.#parts.forwarder.forRequest(this.head, this.request.httpVersion, this.peer);
  }

  get awaitsContinue(): boolean {
    return this.#parts.client.awaitsContinue;
  }

  sendContinue(): void {
    const { client } = this.#parts;
    if (client.awaitsContinue && !this.response.headersSent) this.response.writeContinue();
    client.awaitsContinue = false;
  }

  withBody(body: Body): Exchange {
    return new HttpExchange({ ...this.#parts, body });
  }
}

/** The status that the client got; 499, as in nginx, if the client disconnected before the answer. */
export function statusSent({ headersSent, statusCode }: ServerResponse): number {
  return headersSent ? statusCode : 499;
}

function expectsContinue(head: RequestHead): boolean {
  return head.values("expect").some((value) => value.toLowerCase() === "100-continue");
}
