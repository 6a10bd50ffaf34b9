/**
 * Passes everything that is not an upload through http-proxy. It works around these quirks:
 * - It copies `req.headers`, which Node has joined and shortened. So the headers for Glance are put there first.
 * - It pipes whatever the request emits. So a request whose head announces no body gets an empty body.
 * - It rewrites `//` and `\` in `req.url`, and `//` and `http:/` in the path of its target, in queries too. So the path is set on its
 *   request to Glance before the head is sent.
 * - It emits no `proxyReq` if there is an `Expect` header. So that header is removed, and `100` is sent here.
 * - If the client disconnects after its request was read, it does not end the request to Glance. So the response's `close` does.
 * - It loses repeated headers of answers and hides truncated answers. So answers go through `client/answer.ts`.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import type { Answerer } from "../client/answer.js";
import type { Exchange } from "../client/exchange.js";
import { type AnnouncedBody, isEmpty } from "../http/announced-body.js";
import { createRequestHead, flatten, type HeaderLine, linesByName } from "../http/request-head.js";
import { soon } from "../http/soon.js";
import type { Patience } from "../http/turns.js";
import type { Metrics } from "../observe/metrics.js";
import type { Upstream } from "../upstream/upstream.js";
import { malformedBody } from "../vocabulary/errors.js";
import { httpProxy } from "./http-proxy.js";
import { RoundTrip } from "./round-trip.js";

/** What the proxy changes in a request or in Glance's answer to it. */
export interface Amendment {
  request(lines: readonly HeaderLine[]): readonly HeaderLine[];
  answer(lines: readonly HeaderLine[]): readonly HeaderLine[];
}

/** Resolves when the response is closed. @throws ProxyError if the request must not be passed on. */
export type PassThrough = (exchange: Exchange, path: string, amendment?: Amendment) => Promise<void>;

export interface PassThroughOptions {
  readonly upstream: Upstream;
  readonly answerer: Answerer;
  readonly metrics: Metrics;
  readonly patience: Patience;
}

/** On the client's request, because http-proxy's events carry nothing else. */
const TRIP = Symbol("trip");

interface Travelling extends IncomingMessage {
  [TRIP]?: Trip | undefined;
}

interface Trip {
  readonly trip: RoundTrip;
  readonly path: string;
  readonly amendment: Amendment | undefined;
}

export function createPassThrough(options: PassThroughOptions): PassThrough {
  const proxy = httpProxy.createProxyServer<IncomingMessage, ServerResponse>({
    selfHandleResponse: true,
    ignorePath: true,
  });
  proxy.on("proxyReq", (outgoing, request: Travelling) => {
    const { trip, path } = request[TRIP] ?? {};
    if (trip === undefined || path === undefined) return void outgoing.destroy(); // the client has disconnected meanwhile
    outgoing.path = options.upstream.path(path);
    trip.opened(outgoing);
  });
  proxy.on("proxyRes", (answer, request: Travelling) => {
    const { trip, amendment } = request[TRIP] ?? {};
    if (amendment) answer.rawHeaders = flatten(amendment.answer(createRequestHead(answer.rawHeaders).lines));
    trip?.answered(answer);
  });

  return async (exchange, path, amendment) => {
    const { response, announced, body } = exchange;
    const request: Travelling = exchange.request;
    // A request with a body is opened at once, because its body may flow.
    if (isEmpty(announced)) await soon();
    if (response.destroyed) return; // the client has disconnected meanwhile
    if (body.malformed) throw malformedBody();
    const lines = exchange.upstreamHeaders();
    request.headers = headersFor(amendment ? amendment.request(lines) : lines, announced);
    exchange.sendContinue();
    await new Promise<void>((resolve, onFailure) => {
      const trip = new RoundTrip({ ...options, exchange, onFailure });
      request[TRIP] = { trip, path, amendment };
      response.once("close", () => {
        request[TRIP] = undefined;
        trip.end();
        resolve();
      });
      const { agent, target } = options.upstream;
      const source = isEmpty(announced) ? { buffer: emptyBody() } : {};
      proxy.web(request, response, { target, agent, ...source }, (error) => trip.fail(error));
      trip.watchBody();
    });
  };
}

/** Cheaper than `Readable.from`, which makes an iterator and a promise for each request. */
function emptyBody(): Readable {
  return new Readable({
    read() {
      this.push(null);
    },
  });
}

/** Has no inherited properties, because a header may have the name `constructor`. To V8, `Object.create(null)` is a slow table. */
const Headers = function () {} as unknown as new () => Record<string, string | string[]>;
Headers.prototype = Object.create(null) as object;

/** Like `IncomingMessage.headers`, but repeated lines stay separate, and the framing is the one that was decided. */
function headersFor(
  lines: readonly HeaderLine[],
  announced: AnnouncedBody,
): Record<string, string | string[]> {
  const headers = new Headers();
  for (const [name, values] of linesByName(lines)) {
    if (name === "content-length" || name === "transfer-encoding") continue;
    const [value = "", ...more] = values;
    headers[name] = more.length === 0 ? value : values;
  }
  if (announced.kind === "length") headers["content-length"] = String(announced.bytes);
  // Node frames the body of a GET only if it has this header.
  if (announced.kind === "chunked") headers["transfer-encoding"] = "chunked";
  return headers;
}
