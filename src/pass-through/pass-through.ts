/**
 * Everything that is not an upload, through http-proxy. The one file that knows http-proxy 1.18.1, and what of it has to be
 * worked around:
 * - it copies `req.headers`, which Node has joined and shortened: the headers for Glance are put there first;
 * - it pipes whatever the request gives, announced or not: a request whose head announces no body is given an empty one;
 * - it rewrites `//` and `\` in `req.url`, and `//` and `http:/` in the path of its target, queries included: the path is
 *   put into its request to Glance, before the head goes out;
 * - with an `Expect` header there is no `proxyReq` event: the header is gone by then, and `100` is answered here;
 * - when the client goes away after its request was read, nothing ends the request to Glance: `res.on("close")` does here;
 * - its own answer writing loses repeated headers and hides a truncated answer: answers go through our own relay.
 */
import type { ClientRequest, IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import httpProxy from "http-proxy";
import type { Metrics } from "../observe/metrics.js";
import { clientTimeout, malformedBody, type ProxyError } from "../vocabulary/errors.js";
import { createTimer } from "../http/timer.js";
import { isEmpty, type AnnouncedBody } from "../http/announced-body.js";
import { unrelayableHead } from "../upstream/answer-head.js";
import type { Answerer, Patience } from "../client/answer.js";
import type { Exchange } from "../client/exchange.js";
import { linesByName, type HeaderLine } from "../http/request-head.js";
import { type Upstream } from "../upstream/upstream.js";
import { UnannouncedBytes } from "../upstream/wire-guard.js";
import { toUpstreamError, truncatedAnswer, upstreamTimeout } from "../upstream/failures.js";

/** @throws ProxyError where the request must not go on. Resolves when the exchange is over. */
export type PassThrough = (exchange: Exchange, path: string) => Promise<void>;

export function createPassThrough(
  upstream: Upstream,
  answerer: Answerer,
  metrics: Metrics,
  { silenceMs, idleMs }: Patience,
): PassThrough {
  const proxy = httpProxy.createProxyServer<IncomingMessage, ServerResponse>({
    selfHandleResponse: true,
    ignorePath: true,
  });

  /** What the events of a request are for; http-proxy hands us the client's request and nothing else of ours. */
  const pending = new Map<IncomingMessage, Pending>();
  proxy.on("proxyReq", (outgoing, request) => {
    const waiting = pending.get(request);
    if (waiting) waiting.opened(outgoing);
    else outgoing.destroy(); // the client has left meanwhile
  });
  proxy.on("proxyRes", (answer, request) => pending.get(request)?.answered(answer));

  return (exchange, path) => {
    const { request, response, announced, body } = exchange;
    if (body.malformed) return Promise.reject(malformedBody());
    request.headers = headersFor(exchange.upstreamHeaders(), announced);
    exchange.sendContinue();

    return new Promise((resolve, reject) => {
      let outgoing: ClientRequest | undefined;
      let refusal: ProxyError | UnannouncedBytes | undefined;
      /** Also before http-proxy has shown us its request to Glance. */
      const abort = (error: ProxyError | UnannouncedBytes): void => {
        refusal ??= error;
        outgoing?.destroy(error);
      };
      const silence = createTimer(silenceMs, () => abort(upstreamTimeout()));
      const idle = createTimer(idleMs, () => abort(clientTimeout()));
      /** By Glance, or by ourselves: nobody is waited for any more. */
      let isAnswered = false;
      let answer: IncomingMessage | undefined;
      let failure: ProxyError | undefined;
      const awaitClient = (): void => {
        silence.stop();
        if (!isAnswered) idle.start();
      };
      /** To read on or, once it has everything, to answer. */
      const awaitGlance = (): void => {
        idle.stop();
        if (!isAnswered) silence.start();
      };
      const fail = (cause: unknown): void => {
        isAnswered = true;
        silence.stop();
        idle.stop();
        if (response.destroyed) return;
        failure = toUpstreamError(cause);
        report(failure);
        if (answer) answer.destroy();
        else reject(failure);
      };
      response.once("close", () => {
        silence.stop();
        idle.stop();
        outgoing?.destroy();
        pending.delete(request);
        resolve();
      });
      pending.set(request, {
        opened(opened) {
          outgoing = opened;
          if (refusal) return void opened.destroy(refusal);
          opened.path = upstream.path(path);
          opened.on("drain", awaitClient).once("finish", awaitGlance);
          // Also where neither Node nor http-proxy says anything else: an answer that switches protocols, for one.
          opened.once("close", () => {
            if (!isAnswered) fail(new Error("closed without an answer"));
          });
        },
        answered(received) {
          isAnswered = true;
          silence.stop();
          idle.stop();
          const invalid = unrelayableHead(received);
          if (invalid) {
            fail(invalid);
            return void outgoing?.destroy();
          }
          answer = received;
          // Glance reads no further: what the client still sends would wait for it, and the client for us.
          if (outgoing) answer.once("end", () => request.unpipe(outgoing));
          answerer.relay(exchange, answer).then((relayed) => {
            if (relayed !== "truncated") return;
            if (!failure) metrics.upstreamError("truncated");
            if (!response.headersSent) reject(failure ?? truncatedAnswer());
          }, reject);
        },
      });
      const { agent, target } = upstream;
      const source = isEmpty(announced) ? { buffer: emptyBody() } : {};
      proxy.web(request, response, { target, agent, ...source }, fail);
      // Listens beside http-proxy's own pipe, which keeps deciding when the body flows.
      awaitClient();
      request.on("data", () => {
        if (isEmpty(announced)) abort(new UnannouncedBytes("the client sent a body"));
        else if (outgoing?.writableNeedDrain === true) awaitGlance();
        else awaitClient();
      });
      request.once("end", awaitGlance);
      request.once("malformed", () => abort(malformedBody()));
    });
  };

  function report(error: ProxyError): void {
    if (error.upstreamKind !== undefined) metrics.upstreamError(error.upstreamKind);
  }
}

/** `Readable.from` would do, with an iterator and a promise for each request. */
function emptyBody(): Readable {
  return new Readable({
    read() {
      this.push(null);
    },
  });
}

/** As `IncomingMessage.headers`, but that each line stays one, and that the body is framed as was decided. */
function headersFor(
  lines: readonly HeaderLine[],
  announced: AnnouncedBody,
): Record<string, string | string[]> {
  // Without a prototype: a header may be called `constructor`.
  const headers = Object.create(null) as Record<string, string | string[]>;
  for (const [name, values] of linesByName(lines)) {
    const [value = "", ...more] = values;
    headers[name] = more.length === 0 ? value : values;
  }
  delete headers["content-length"];
  delete headers["transfer-encoding"];
  if (announced.kind === "length") headers["content-length"] = String(announced.bytes);
  // Node frames a GET's body only where it is told to.
  if (announced.kind === "chunked") headers["transfer-encoding"] = "chunked";
  return headers;
}

interface Pending {
  opened(outgoing: ClientRequest): void;
  answered(answer: IncomingMessage): void;
}
