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
  const peer: Peer = {
    address: request.socket.remoteAddress,
    encrypted: (request.socket as Partial<TLSSocket>).encrypted === true,
  };
  let awaitsContinue = request.httpVersion === "1.1" && expectsContinue(head);
  // After a truncated head the framing is unknown.
  const announced: AnnouncedBody = isHeadWhole(request)
    ? readAnnouncedBody(head)
    : { kind: "invalid", value: "" };
  const requestId = requestIdOf(head);
  const withBody = (body: Body): Exchange => ({
    request,
    response,
    body,
    head,
    announced,
    peer,
    requestId,
    upstreamHeaders: () => forwarder.forRequest(head, request.httpVersion, peer),
    get awaitsContinue() {
      return awaitsContinue;
    },
    sendContinue() {
      if (awaitsContinue && !response.headersSent) response.writeContinue();
      awaitsContinue = false;
    },
    withBody,
  });
  return withBody(request);
}

function expectsContinue(head: RequestHead): boolean {
  return head.values("expect").some((value) => value.toLowerCase() === "100-continue");
}
