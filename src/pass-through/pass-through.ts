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
import type { ClientRequest, IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { httpProxy } from "./http-proxy.js";
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

/** Resolves when the response is closed. @throws ProxyError if the request must not be passed on. */
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
  /** By the client's request, because http-proxy's events carry nothing else. */
  const runs = new Map<IncomingMessage, Run>();
  proxy.on("proxyReq", (outgoing, request) => {
    const run = runs.get(request);
    if (run) run.opened(outgoing);
    else outgoing.destroy(); // the client has disconnected meanwhile
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

/** One request, until its response is closed. */
class Run {
  readonly #options: PassThroughOptions;
  readonly #exchange: Exchange;
  readonly #path: string;
  readonly #reject: (error: ProxyError) => void;
  readonly #turns: Turns;
  #outgoing: ClientRequest | undefined;
  /** Why the request to Glance must be destroyed; may be set before http-proxy has opened it. */
  #refusal: ProxyError | UnannouncedBytes | undefined;
  /** The answer has begun or the request has failed, so both timers are off. */
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

  /** Only observes: http-proxy's pipe controls the flow of the body. */
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
    // For some failures nothing else is emitted, for example for an answer that switches protocols.
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
    // Glance reads no more. The rest of the body would wait for Glance, and the client for its answer.
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

  /** Glance must read on or, if it has the whole body, answer. */
  #awaitGlance(): void {
    if (this.#isAnswered) this.#turns.stop();
    else this.#turns.awaitGlance();
  }
}

/** Cheaper than `Readable.from`, which makes an iterator and a promise for each request. */
function emptyBody(): Readable {
  return new Readable({
    read() {
      this.push(null);
    },
  });
}

/** Like `IncomingMessage.headers`, but repeated lines stay separate, and the framing is the one that was decided. */
function headersFor(
  lines: readonly HeaderLine[],
  announced: AnnouncedBody,
): Record<string, string | string[]> {
  // Without a prototype, because a header may have the name `constructor`.
  const headers = Object.create(null) as Record<string, string | string[]>;
  for (const [name, values] of linesByName(lines)) {
    const [value = "", ...more] = values;
    headers[name] = more.length === 0 ? value : values;
  }
  delete headers["content-length"];
  delete headers["transfer-encoding"];
  if (announced.kind === "length") headers["content-length"] = String(announced.bytes);
  // Node frames the body of a GET only if it has this header.
  if (announced.kind === "chunked") headers["transfer-encoding"] = "chunked";
  return headers;
}
