/** One request and its answer, with what was read from the head once. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { TLSSocket } from "node:tls";
import { requestIdOf } from "../http/request-id.js";
import { readAnnouncedBody, type AnnouncedBody } from "../http/announced-body.js";
import type { Body } from "../http/body.js";
import type { HeaderForwarder, Peer } from "../http/forwarded-headers.js";
import { isHeadWhole } from "../http/request-guard.js";
import { createRequestHead, type HeaderLine, type RequestHead } from "../http/request-head.js";

export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The request itself, unless its body has been taken over. */
  readonly body: Body;
  readonly head: RequestHead;
  /** What the head says of the body. */
  readonly announced: AnnouncedBody;
  readonly peer: Peer;
  readonly requestId: string;
  /** @throws ProxyError `loop`. */
  upstreamHeaders(): readonly HeaderLine[];
  /** Whether the client waits for `100 Continue`. */
  readonly awaitsContinue: boolean;
  /** Tells a client that waits for it (`Expect: 100-continue`) to send its body; once. */
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
  // Of a head that was cut anything may follow.
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
