/** One request to Glance that is no upload, from its opening until the response to the client is closed. */
import type { ClientRequest, IncomingMessage } from "node:http";
import type { Answerer } from "../client/answer.js";
import type { GlanceAnswer } from "../client/answer-stream.js";
import type { Exchange } from "../client/exchange.js";
import { isEmpty } from "../http/announced-body.js";
import { type Patience, Turns } from "../http/turns.js";
import type { Metrics } from "../observe/metrics.js";
import { unrelayableHead } from "../upstream/answer-head.js";
import { closedUnanswered, toUpstreamError, truncatedAnswer, upstreamTimeout } from "../upstream/failures.js";
import { UnannouncedBytes } from "../upstream/wire-guard.js";
import { clientTimeout, malformedBody, type ProxyError, toProxyError } from "../vocabulary/errors.js";

export interface RoundTripOptions {
  readonly exchange: Exchange;
  readonly answerer: Answerer;
  readonly metrics: Metrics;
  readonly patience: Patience;
  /** Called if the client has received nothing, so that the caller can answer. */
  readonly onFailure: (error: ProxyError) => void;
}

export class RoundTrip {
  readonly #options: RoundTripOptions;
  readonly #turns: Turns;
  #outgoing: ClientRequest | undefined;
  /** Why the request to Glance must be destroyed; may be set before the request is opened. */
  #refusal: ProxyError | UnannouncedBytes | undefined;
  /** The answer has begun or the request has failed, so both timers are off. */
  #isAnswered = false;
  #answer: GlanceAnswer | undefined;
  #failure: ProxyError | undefined;

  constructor(options: RoundTripOptions) {
    this.#options = options;
    this.#turns = new Turns(options.patience, {
      onClientIdle: () => this.#abort(clientTimeout()),
      onGlanceSilent: () => this.#abort(upstreamTimeout()),
    });
  }

  /** Only observes the client's body: the caller controls its flow. */
  watchBody(): void {
    const { request, announced } = this.#options.exchange;
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
    outgoing.on("drain", () => this.#awaitClient()).once("finish", () => this.#awaitGlance());
    // For some failures nothing else is emitted, for example for an answer that switches protocols.
    outgoing.once("close", () => {
      if (!this.#isAnswered) this.fail(closedUnanswered());
    });
  }

  /** @param claim takes the body over from Node. */
  answered(answer: IncomingMessage, claim?: () => GlanceAnswer | undefined): void {
    this.#isAnswered = true;
    this.#options.exchange.notes.answer = answer;
    this.#turns.stop();
    const invalid = unrelayableHead(answer);
    if (invalid) {
      this.fail(invalid);
      return void this.#outgoing?.destroy();
    }
    this.#answer = claim?.() ?? answer;
    const { request } = this.#options.exchange;
    const outgoing = this.#outgoing;
    // Glance reads no more. The rest of the body would wait for Glance, and the client for its answer.
    if (outgoing) this.#answer.once("end", () => request.unpipe(outgoing));
    void this.#relay(this.#answer);
  }

  async #relay(answer: GlanceAnswer): Promise<void> {
    const { exchange, answerer, metrics, onFailure } = this.#options;
    try {
      if ((await answerer.relay(exchange, answer)) !== "truncated") return;
      exchange.notes.isTruncated = true;
      if (!this.#failure) metrics.upstreamError("truncated");
      if (!exchange.response.headersSent) onFailure(this.#failure ?? truncatedAnswer());
    } catch (error) {
      onFailure(toProxyError(error));
    }
  }

  fail(cause: unknown): void {
    this.#isAnswered = true;
    this.#turns.stop();
    const { exchange, metrics, onFailure } = this.#options;
    if (exchange.response.destroyed) return;
    const failure = toUpstreamError(cause);
    this.#failure = failure;
    if (failure.upstreamKind !== undefined) metrics.upstreamError(failure.upstreamKind);
    if (this.#answer) this.#answer.destroy();
    else onFailure(failure);
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
