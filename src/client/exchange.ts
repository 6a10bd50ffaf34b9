/** One request and its response, with the parsed head. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { TLSSocket } from "node:tls";
import { type AnnouncedBody, readAnnouncedBody } from "../http/announced-body.js";
import type { Body } from "../http/body.js";
import type { HeaderForwarder, Peer } from "../http/forwarded-headers.js";
import { isHeadWhole } from "../http/request-guard.js";
import { createRequestHead, type HeaderLine, type RequestHead } from "../http/request-head.js";
import { clientRequestIdOf, REQUEST_ID_HEADER, requestIdOf } from "../http/request-id.js";
import type { AnswerHead } from "../raw-io/raw-answer.js";

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
  /** The `X-Openstack-Request-Id` that the client sent, valid or not. */
  readonly clientRequestId: string | undefined;
  /** @throws ProxyError `loop`. */
  upstreamHeaders(): readonly HeaderLine[];
  /** Whether the client waits for `100 Continue`. */
  readonly awaitsContinue: boolean;
  /** Sends `100 Continue` to a client that waits for it, once. */
  sendContinue(): void;
  readonly notes: ExchangeNotes;
  /** The same exchange with a body that was taken over from Node. */
  withBody(body: Body): Exchange;
}

/** What the access log needs to know. Shared by all copies of the exchange. */
export interface ExchangeNotes {
  /** The request is an upload or was refused, so the log has a line about it without the access log. */
  hasLine: boolean;
  /** Glance's answer. */
  answer: AnswerHead | undefined;
  /** Glance's answer was cut off. */
  isTruncated: boolean;
}

export function createExchange(
  request: IncomingMessage,
  response: ServerResponse,
  forwarder: HeaderForwarder,
): Exchange {
  const head = createRequestHead(request.rawHeaders);
  const clientRequestId = clientRequestIdOf(head);
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
    requestId: requestIdOf(clientRequestId),
    clientRequestId,
    forwarder,
    notes: {
      awaitsContinue: request.httpVersion === "1.1" && expectsContinue(head),
      hasLine: false,
      answer: undefined,
      isTruncated: false,
    },
  });
}

interface Parts extends Pick<
  Exchange,
  "request" | "response" | "body" | "head" | "announced" | "peer" | "requestId" | "clientRequestId"
> {
  readonly forwarder: HeaderForwarder;
  readonly notes: ExchangeNotes & { awaitsContinue: boolean };
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
  readonly clientRequestId: string | undefined;
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.request = parts.request;
    this.response = parts.response;
    this.body = parts.body;
    this.head = parts.head;
    this.announced = parts.announced;
    this.peer = parts.peer;
    this.requestId = parts.requestId;
    this.clientRequestId = parts.clientRequestId;
    this.#parts = parts;
  }

  /** If the client sent no request id, Glance gets the proxy's, and both name the request alike in their logs. */
  upstreamHeaders(): readonly HeaderLine[] {
    const lines = this.#parts.forwarder.forRequest(this.head, this.request.httpVersion, this.peer);
    if (this.clientRequestId === undefined) lines.push({ name: REQUEST_ID_HEADER, value: this.requestId });
    return lines;
  }

  get notes(): ExchangeNotes {
    return this.#parts.notes;
  }

  get awaitsContinue(): boolean {
    return this.#parts.notes.awaitsContinue;
  }

  sendContinue(): void {
    const { notes } = this.#parts;
    if (notes.awaitsContinue && !this.response.headersSent) this.response.writeContinue();
    notes.awaitsContinue = false;
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
