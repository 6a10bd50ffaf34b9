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
import { clientTimeout, malformedBody, toProxyError, type ProxyError } from "../vocabulary/errors.js";
import { isEmpty, type AnnouncedBody } from "../http/announced-body.js";
import { unrelayableHead } from "../upstream/answer-head.js";
import type { Answerer } from "../client/answer.js";
import type { Exchange } from "../client/exchange.js";
import { linesByName, type HeaderLine } from "../http/request-head.js";
import { type Upstream } from "../upstream/upstream.js";
import { UnannouncedBytes } from "../upstream/wire-guard.js";
import { toUpstreamError, truncatedAnswer, upstreamTimeout } from "../upstream/failures.js";
import { Turns, type Patience } from "../http/turns.js";

/** @throws ProxyError where the request must not go on. Resolves when the exchange is over. */
export type PassThrough = (exchange: Exchange, path: string) => Promise<void>;

export interface PassThroughOptions {
  readonly upstream: Upstream;
  readonly answerer: Answerer;
  readonly metrics: Metrics;
  readonly patience: Patience;
}

export function createPassThrough(options: PassThroughOptions): PassThrough {
  const proxy = httpProxy.createProxyServer<IncomingMessage, ServerResponse>({
    selfHandleResponse: true,
    ignorePath: true,
  });
  /** What the events of a request are for; http-proxy hands us the client's request and nothing else of ours. */
  const runs = new Map<IncomingMessage, Run>();
  proxy.on("proxyReq", (outgoing, request) => {
    const run = runs.get(request);
    if (run) run.opened(outgoing);
    else outgoing.destroy(); // the client has left meanwhile
  });
  proxy.on("proxyRes", (answer, request) => runs.get(request)?.answered(answer));

  return (exchange, path) => {
    const { request, response, announced, body } = exchange;
    if (body.malformed) return Promise.reject(malformedBody());
    request.headers = headersFor(exchange.upstreamHeaders(), announced);
    exchange.sendContinue();
    return new Promise((resolve, reject) => {
      const run = new Run(options, exchange, path, reject);
      runs.set(request, run);
      response.once("close", () => {
        runs.delete(request);
        run.end();
        resolve();
      });
      const { agent, target } = options.upstream;
      const source = isEmpty(announced) ? { buffer: emptyBody() } : {};
      proxy.web(request, response, { target, agent, ...source }, (error) => run.fail(error));
      run.watchBody();
    });
  };
}

/** One request, until its response closes. */
class Run {
  readonly #options: PassThroughOptions;
  readonly #exchange: Exchange;
  readonly #path: string;
  readonly #reject: (error: ProxyError) => void;
  readonly #turns: Turns;
  #outgoing: ClientRequest | undefined;
  /** Why the request to Glance is to be destroyed; perhaps before http-proxy has shown it. */
  #refusal: ProxyError | UnannouncedBytes | undefined;
  /** The answer has begun, or the request has failed: neither side's time runs any more. */
  #isAnswered = false;
  #answer: IncomingMessage | undefined;
  #failure: ProxyError | undefined;

  constructor(
    options: PassThroughOptions,
    exchange: Exchange,
    path: string,
    reject: (error: ProxyError) => void,
  ) {
    this.#options = options;
    this.#exchange = exchange;
    this.#path = path;
    this.#reject = reject;
    this.#turns = new Turns({
      ...options.patience,
      onClientIdle: () => this.#abort(clientTimeout()),
      onGlanceSilent: () => this.#abort(upstreamTimeout()),
    });
  }

  /** Listens beside http-proxy's own pipe, which keeps deciding when the body flows. */
  watchBody(): void {
    const { request, announced } = this.#exchange;
    this.#awaitClient();
    request.on("data", () => {
      if (isEmpty(announced)) this.#abort(new UnannouncedBytes("the client sent a body"));
      else if (this.#outgoing?.writableNeedDrain === true) this.#awaitGlance();
      else this.#awaitClient();
    });
    request.once("end", () => this.#awaitGlance());
    request.once("malformed", () => this.#abort(malformedBody()));
  }

  opened(outgoing: ClientRequest): void {
    this.#outgoing = outgoing;
    if (this.#refusal) return void outgoing.destroy(this.#refusal);
    outgoing.path = this.#options.upstream.path(this.#path);
    outgoing.on("drain", () => this.#awaitClient()).once("finish", () => this.#awaitGlance());
    // Also if neither Node nor http-proxy says anything else: an answer that switches protocols, for one.
    outgoing.once("close", () => {
      if (!this.#isAnswered) this.fail(new Error("closed without an answer"));
    });
  }

  answered(answer: IncomingMessage): void {
    this.#isAnswered = true;
    this.#turns.stop();
    const invalid = unrelayableHead(answer);
    if (invalid) {
      this.fail(invalid);
      return void this.#outgoing?.destroy();
    }
    this.#answer = answer;
    const { request } = this.#exchange;
    const outgoing = this.#outgoing;
    // Glance reads no further: what the client still sends would wait for it, and the client for us.
    if (outgoing) answer.once("end", () => request.unpipe(outgoing));
    void this.#relay(answer);
  }

  async #relay(answer: IncomingMessage): Promise<void> {
    const { answerer, metrics } = this.#options;
    try {
      if ((await answerer.relay(this.#exchange, answer)) !== "truncated") return;
      if (!this.#failure) metrics.upstreamError("truncated");
      if (!this.#exchange.response.headersSent) this.#reject(this.#failure ?? truncatedAnswer());
    } catch (error) {
      this.#reject(toProxyError(error));
    }
  }

  fail(cause: unknown): void {
    this.#isAnswered = true;
    this.#turns.stop();
    if (this.#exchange.response.destroyed) return;
    const failure = toUpstreamError(cause);
    this.#failure = failure;
    if (failure.upstreamKind !== undefined) this.#options.metrics.upstreamError(failure.upstreamKind);
    if (this.#answer) this.#answer.destroy();
    else this.#reject(failure);
  }

  /** The response is closed. */
  end(): void {
    this.#turns.stop();
    this.#outgoing?.destroy();
  }

  #abort(error: ProxyError | UnannouncedBytes): void {
    this.#refusal ??= error;
    this.#outgoing?.destroy(error);
  }

  #awaitClient(): void {
    if (this.#isAnswered) this.#turns.stop();
    else this.#turns.awaitClient();
  }

  /** To read on or, once it has everything, to answer. */
  #awaitGlance(): void {
    if (this.#isAnswered) this.#turns.stop();
    else this.#turns.awaitGlance();
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
