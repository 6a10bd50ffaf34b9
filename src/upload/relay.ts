/**
 * Sends an upload's body from the client to Glance and counts it. Glance never gets more bytes than declared, and never a complete body
 * before the client's body has ended. Any failure destroys the request to Glance.
 * This relay ends or destroys the request to Glance. The caller owns the client's request and response.
 */
import type { ClientRequest, IncomingMessage } from "node:http";
import { soon } from "../http/soon.js";
import { createTimer, type Timer } from "../http/timer.js";
import { Turns } from "../http/turns.js";
import { unrelayableHead } from "../upstream/answer-head.js";
import { closedUnanswered, toUpstreamError, upstreamTimeout } from "../upstream/failures.js";
import { onceConnected } from "../upstream/upstream.js";
import {
  clientAborted,
  clientTimeout,
  malformedBody,
  ProxyError,
  sizeExceeded,
  sizeMismatch,
  tooLarge,
  toProxyError,
} from "../vocabulary/errors.js";
import { GlanceRequest } from "./glance-request.js";
import type { RelayEnd, RelayOptions } from "./relay-plan.js";

/** How long a client that sent `Expect: 100-continue` waits for Glance's `100`. uWSGI never sends one. */
const CONTINUE_WAIT_MS = 1_000;

/** A body up to this size may have arrived together with its head. */
const SMALL_BYTES = 64 * 1024;

/** Under TLS, Node reports writes one turn of the event loop late, and a quick answer of Glance comes first. */
const SENT_TURNS = 2;

/** Resolves once, never rejects. Afterwards the rest of the source is discarded. */
export function relayBody(options: RelayOptions): Promise<RelayEnd> {
  return new Promise((resolve) => {
    new Relay(options, resolve).start();
  });
}

class Relay {
  readonly #options: RelayOptions;
  readonly #resolve: (end: RelayEnd) => void;
  readonly #upstream: GlanceRequest;
  readonly #turns: Turns;
  readonly #continueWait: Timer;
  /** Set while spooled pieces wait for Glance to read. */
  #onWritable: (() => void) | undefined;
  #reading = false;
  /** The whole body is in memory and goes out in one write, so nothing waits. */
  #isHere = false;
  /** The client or the spool waits until Glance has read. */
  #waiting = false;
  /** The client's body has ended and has the right size: since then, on the clock of `performance.now()`. */
  #bodyEnded = false;
  #endedAt = 0;
  /** There is an answer, and the end of the body may be reported as accepted in the next turns. */
  #isJudged = false;
  #done = false;

  constructor(options: RelayOptions, resolve: (end: RelayEnd) => void) {
    this.#options = options;
    this.#resolve = resolve;
    this.#upstream = new GlanceRequest(options, {
      onContinue: () => this.#readBody(),
      onAnswer: (answer) => this.#onAnswer(answer),
      onBroken: (cause) => this.#onBroken(cause),
      onDrain: () => this.#onDrain(),
    });
    const listener = {
      onClientIdle: () => this.#fail(clientTimeout()),
      onGlanceSilent: () => this.#fail(upstreamTimeout()),
    };
    this.#turns = new Turns(options.plan, listener, options.waits);
    this.#continueWait = createTimer(CONTINUE_WAIT_MS, () => this.#readBody());
  }

  start(): void {
    const { source, plan, kept } = this.#options;
    source.on("close", this.#onSourceClose).once("malformed", this.#onMalformed);
    source.on("halfClosed", this.#onHalfClosed);
    if (source.malformed) return this.#onMalformed();
    if (source.destroyed && !source.readableEnded) return this.#onSourceClose();
    // A head with `Content-Length: 0` is a complete upload, so it must wait for the end of the client's body.
    if (plan.framing === "content-length" && plan.declaredBytes === 0) return this.#readBody();
    const { declaredBytes = Number.POSITIVE_INFINITY } = plan;
    const mayBeHere = declaredBytes <= SMALL_BYTES && !kept && !plan.clientWaits;
    // By then, Node also knows whether a body is complete that arrived together with its head.
    if (mayBeHere) void soon().then(() => this.#begin());
    else this.#begin();
  }

  #begin(): void {
    if (this.#done) return;
    const { source, plan, kept } = this.#options;
    // A body that arrived together with its head goes out with its head, without waiting for `100`.
    this.#isHere = source.complete && !kept && !plan.clientWaits;
    const upstream = this.#openUpstream(!this.#isHere);
    if (!upstream) return;
    // Uncorked at the end: head, body and the last byte go out in one write.
    if (this.#isHere) upstream.cork();
    else upstream.flushHeaders();
    if (!plan.clientWaits) return this.#readBody();
    this.#options.waits.switchTo("glance");
    upstream.once("socket", (socket) => onceConnected(socket, () => this.#continueWait.start()));
  }

  /** @returns undefined if the request cannot be made. Then the upload has failed. */
  #openUpstream(expectContinue: boolean): ClientRequest | undefined {
    try {
      return this.#upstream.open(expectContinue);
    } catch (cause) {
      this.#fail(toProxyError(cause));
      return undefined;
    }
  }

  #onBroken(cause?: Error): void {
    if (!this.#done && !this.#isJudged) this.#fail(toUpstreamError(cause ?? closedUnanswered()));
  }

  #onDrain(): void {
    if (!this.#waiting || this.#done || this.#bodyEnded) return; // nothing waits, or Glance must answer
    this.#waiting = false;
    if (!this.#onWritable) return this.#awaitClient();
    this.#turns.stop();
    this.#onWritable();
  }

  /** Has an effect only once. */
  #readBody(): void {
    if (this.#done || this.#reading) return;
    this.#reading = true;
    this.#continueWait.stop();
    this.#options.onContinue();
    if (this.#options.kept) void this.#sendKept(this.#options.kept);
    else this.#readSource();
  }

  async #sendKept(kept: AsyncIterable<Buffer>): Promise<void> {
    const { waits } = this.#options;
    try {
      waits.switchTo("spoolRead");
      for await (const piece of kept) {
        if (this.#done) return;
        if (this.#upstream.write(piece, true)) continue;
        this.#waiting = true;
        this.#turns.awaitGlance();
        await new Promise<void>((resolve) => {
          this.#onWritable = resolve;
        });
        this.#onWritable = undefined;
        if (this.#done) return; // the next piece would overwrite one that is not sent yet
        waits.switchTo("spoolRead");
      }
      this.#readSource();
    } catch (cause) {
      this.#fail(toProxyError(cause));
    }
  }

  #readSource(): void {
    if (this.#done) return;
    if (this.#options.source.readableEnded) return this.#onEnd();
    this.#options.source.on("data", this.#onPiece).once("end", this.#onEnd);
    this.#awaitClient();
  }

  #awaitClient(): void {
    if (this.#done || this.#bodyEnded) return;
    this.#turnToClient();
    this.#options.source.resume();
  }

  #turnToClient(): void {
    if (!this.#isHere) this.#turns.awaitClient();
  }

  readonly #onPiece = (piece: Buffer): void => {
    const { source, plan, counter, digests } = this.#options;
    counter.received(piece.length);
    const bytes = counter.receivedBytes;
    if (plan.declaredBytes !== undefined && bytes > plan.declaredBytes) {
      return this.#fail(sizeExceeded(plan.declaredBytes, bytes));
    }
    if (bytes > plan.maxBytes) return this.#fail(tooLarge(bytes, plan.maxBytes));
    this.#turnToClient();
    const goesOn = this.#upstream.write(piece, source.stopReusing !== undefined) || this.#isHere;
    digests?.update(piece); // after the write: Glance reads meanwhile
    if (goesOn) return;
    this.#waiting = true;
    this.#turns.awaitGlance();
    source.pause();
  };

  readonly #onEnd = (): void => {
    const { source, plan, counter } = this.#options;
    const { declaredBytes } = plan;
    this.#turns.stop();
    if (declaredBytes !== undefined && counter.receivedBytes < declaredBytes) {
      return this.#fail(sizeMismatch(declaredBytes, counter.receivedBytes));
    }
    const refusal = plan.refuseEnd?.();
    if (refusal) return this.#fail(refusal);
    this.#bodyEnded = true;
    if (!this.#upstream.isOpen && !this.#openUpstream(false)) return;
    this.#upstream.end(() => source.release?.());
    this.#endedAt = performance.now();
    this.#turns.awaitGlance();
  };

  /** The client disconnected. After the end of its body this does not matter to Glance. */
  readonly #onSourceClose = (): void => {
    // `source.complete` would be wrong here: a body may be parsed to its end and never be read.
    if (!this.#bodyEnded && !this.#options.source.readableEnded) this.#fail(clientAborted());
  };

  readonly #onMalformed = (): void => this.#fail(malformedBody());

  /** Stays registered: a client that has closed its sending side can still read the answer. */
  readonly #onHalfClosed = (): void => this.#fail(clientAborted());

  /** @param turns turns of the event loop since the answer came. */
  #onAnswer(answer: IncomingMessage, turns = 0): void {
    if (this.#done) return;
    const invalid = unrelayableHead(answer);
    if (invalid) return this.#fail(toUpstreamError(invalid));
    const status = answer.statusCode ?? 0;
    if (!this.#upstream.isSent && status < 300) {
      this.#isJudged = this.#bodyEnded && turns < SENT_TURNS;
      if (this.#isJudged) return void setImmediate(() => this.#onAnswer(answer, turns + 1));
      return this.#fail(
        new ProxyError("upstream_early_success", `Glance answered ${status} before the request body ended.`),
      );
    }
    this.#finish();
    this.#settleAnswered(answer);
  }

  #settleAnswered(answer: IncomingMessage): void {
    // Node would wait until Glance has read the rest, but a Glance that has answered may never read it.
    if (!this.#upstream.isSent) answer.once("close", () => this.#upstream.destroy());
    const lastByteToAnswer = this.#bodyEnded ? (performance.now() - this.#endedAt) / 1_000 : undefined;
    this.#resolve({ kind: "answered", answer, early: !this.#bodyEnded, lastByteToAnswer });
  }

  #fail(error: ProxyError): void {
    if (this.#done) return;
    this.#finish();
    void this.#abort(error);
  }

  /** If Glance refuses the upload meanwhile, its refusal replaces the proxy's error. */
  async #abort(error: ProxyError): Promise<void> {
    const { waits } = this.#options;
    waits.switchTo("glance");
    const end = await this.#upstream.breakOff(error);
    waits.switchTo(undefined);
    if (typeof end !== "string") return this.#settleAnswered(end);
    this.#upstream.destroy();
    this.#resolve({ kind: "failed", error, begun: end, whole: this.#upstream.isSent });
  }

  #finish(): void {
    this.#done = true;
    this.#onWritable?.();
    this.#turns.stop();
    this.#continueWait.stop();
    this.#upstream.stop();
    const { source } = this.#options;
    source.off("data", this.#onPiece).off("end", this.#onEnd);
    source.off("close", this.#onSourceClose).off("malformed", this.#onMalformed);
    source.stopReusing?.(); // the last piece may not be sent yet
    if (!this.#bodyEnded) this.#options.counter.discardFrom(source);
    source.resume();
  }
}
