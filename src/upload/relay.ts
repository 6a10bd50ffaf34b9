/**
 * Carries an upload's body from the client to Glance: counted, never one byte too many, never complete before the client's
 * own body is. Whatever goes wrong destroys the request to Glance; only a body that ended as declared finishes it.
 *
 * Who ends what: this relay ends or destroys the request to Glance. The client's request and response are the caller's.
 */
import type { ClientRequest, IncomingMessage } from "node:http";
import {
  clientAborted,
  clientTimeout,
  malformedBody,
  ProxyError,
  toProxyError,
  sizeExceeded,
  sizeMismatch,
  tooLarge,
} from "../vocabulary/errors.js";
import { unrelayableHead } from "../upstream/answer-head.js";
import type { Body, ByteCounter } from "../http/body.js";
import { onceConnected } from "../upstream/upstream.js";
import { createTimer, type Timer } from "../http/timer.js";
import { Turns } from "../http/turns.js";
import { breakOff, type UntilBegun } from "./break-off.js";
import type { RelayEnd, RelayPlan } from "./relay-plan.js";
import { HoldBack } from "./hold-back.js";
import { Outflow } from "./outflow.js";
import { toUpstreamError, upstreamTimeout } from "../upstream/failures.js";

/** A client that sends `Expect: 100-continue` asks Glance, too; uWSGI never answers that. */
const CONTINUE_WAIT_MS = 1_000;

/** A body up to that size may have come whole with its head. */
const SMALL_BYTES = 64 * 1024;

export interface RelayOptions {
  readonly source: Body;
  readonly plan: RelayPlan;
  readonly counter: ByteCounter;
  /** The beginning of the body, read and counted already; `source` has the rest. A piece is there until the next is asked for. */
  readonly kept?: AsyncIterable<Buffer> | undefined;
  /**
   * Opens the request to Glance, its head complete with framing.
   * @param expectContinue whether to ask for `100 Continue`, by which Glance tells that it has begun.
   */
  readonly open: (expectContinue: boolean) => ClientRequest;
  /** Called when the client may send its body. */
  readonly onContinue: () => void;
  readonly untilBegun: UntilBegun;
}

/** Resolves once, never rejects. Afterwards the source flows and nobody listens: what still comes is discarded. */
export function relayBody(options: RelayOptions): Promise<RelayEnd> {
  return new Promise((resolve) => {
    new Relay(options, resolve).start();
  });
}

class Relay {
  readonly #options: RelayOptions;
  readonly #resolve: (end: RelayEnd) => void;
  readonly #holdBack: HoldBack | undefined;
  readonly #turns: Turns;
  readonly #continueWait: Timer;
  #upstream: ClientRequest | undefined;
  #outflow: Outflow | undefined;
  /** Set while kept pieces wait for Glance to read. */
  #onWritable: (() => void) | undefined;
  /** Glance, or a server in front of it, has said `100`. */
  #said100 = false;
  #reading = false;
  /** The whole body lies in memory, and goes in one write: nobody has to wait. */
  #isHere = false;
  /** The client, or what is kept, waits until Glance has read. */
  #waiting = false;
  /** Nothing more comes from the client: the body is whole and right. */
  #bodyEnded = false;
  /** The kernel has the whole body: Glance may have it, too. */
  #isSent = false;
  #done = false;

  constructor(options: RelayOptions, resolve: (end: RelayEnd) => void) {
    this.#options = options;
    this.#resolve = resolve;
    const { framing, declaredBytes, idleMs, silenceMs } = options.plan;
    if (framing === "content-length" && declaredBytes !== undefined && declaredBytes > 0) {
      this.#holdBack = new HoldBack(declaredBytes);
    }
    this.#turns = new Turns({
      idleMs,
      silenceMs,
      onClientIdle: () => this.#fail(clientTimeout()),
      onGlanceSilent: () => this.#fail(upstreamTimeout()),
    });
    this.#continueWait = createTimer(CONTINUE_WAIT_MS, () => this.#readBody());
  }

  start(): void {
    const { source, plan, kept } = this.#options;
    source.on("close", this.#onSourceClose).once("malformed", this.#onMalformed);
    source.on("halfClosed", this.#onHalfClosed);
    if (source.malformed) return this.#onMalformed();
    if (source.destroyed && !source.readableEnded) return this.#onSourceClose();
    // A head with `Content-Length: 0` is a complete upload: it may not go before the client's body has ended.
    if (plan.framing === "content-length" && plan.declaredBytes === 0) return this.#readBody();
    const { declaredBytes = Number.POSITIVE_INFINITY } = plan;
    const mayBeHere = declaredBytes <= SMALL_BYTES && !kept && !plan.clientWaits;
    // Node tells that a body is complete when it has read all that came at once.
    if (mayBeHere) setImmediate(() => this.#begin());
    else this.#begin();
  }

  #begin(): void {
    if (this.#done) return;
    const { source, plan, kept } = this.#options;
    // A body that came whole with its head goes with the head: there is nothing to be told to send.
    this.#isHere = source.complete && !kept && !plan.clientWaits;
    const upstream = this.#openUpstream(!this.#isHere);
    upstream.once("continue", () => {
      this.#said100 = true;
      this.#readBody();
    });
    // Until it ends: head, body and the byte that is held back go in one write.
    if (this.#isHere) upstream.cork();
    else upstream.flushHeaders();
    if (!plan.clientWaits) return this.#readBody();
    upstream.once("socket", (socket) => onceConnected(socket, () => this.#continueWait.start()));
  }

  #openUpstream(expectContinue: boolean): ClientRequest {
    const { open, plan, counter } = this.#options;
    const upstream = open(expectContinue);
    this.#upstream = upstream;
    this.#outflow = new Outflow({
      request: upstream,
      framing: plan.framing,
      onForwarded: (bytes) => counter.forwarded(bytes),
      onSent: this.#onDrain, // the memory it lay in may be read into again
    });
    upstream.on("error", (error) => this.#fail(toUpstreamError(error)));
    upstream.on("response", (answer) => this.#onAnswer(answer));
    // Also where Node says nothing else: an answer that switches protocols, for one.
    upstream.on("close", () => {
      if (!this.#done) this.#fail(toUpstreamError(new Error("closed without an answer")));
    });
    upstream.on("drain", this.#onDrain);
    return upstream;
  }

  readonly #onDrain = (): void => {
    if (!this.#waiting || this.#done || this.#bodyEnded) return; // nobody waits, or it is Glance's turn
    this.#waiting = false;
    this.#turns.stop();
    if (this.#onWritable) this.#onWritable();
    else this.#awaitClient();
  };

  /** Once. */
  #readBody(): void {
    if (this.#done || this.#reading) return;
    this.#reading = true;
    this.#continueWait.stop();
    this.#options.onContinue();
    if (this.#options.kept) void this.#sendKept(this.#options.kept);
    else this.#readSource();
  }

  async #sendKept(kept: AsyncIterable<Buffer>): Promise<void> {
    try {
      for await (const piece of kept) {
        if (this.#done) return;
        if (this.#write(piece, true)) continue;
        this.#waiting = true;
        this.#turns.awaitGlance();
        await new Promise<void>((resolve) => {
          this.#onWritable = resolve;
        });
        this.#onWritable = undefined;
        if (this.#done) return; // before the next piece is read over one that is still on its way
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
    this.#turns.awaitClient();
    this.#options.source.resume();
  }

  readonly #onPiece = (piece: Buffer): void => {
    const { source, plan, counter } = this.#options;
    counter.received(piece.length);
    const bytes = counter.receivedBytes;
    if (plan.declaredBytes !== undefined && bytes > plan.declaredBytes) {
      return this.#fail(sizeExceeded(plan.declaredBytes, bytes));
    }
    if (bytes > plan.maxBytes) return this.#fail(tooLarge(bytes, plan.maxBytes));
    this.#turns.awaitClient();
    if (this.#write(piece, source.renew !== undefined) || this.#isHere) return;
    this.#waiting = true;
    this.#turns.awaitGlance();
    source.pause();
  };

  /** @returns whether to go on; else {@link #onDrain} tells when. */
  #write(bytes: Buffer, reused: boolean): boolean {
    return this.#outflow?.write(this.#holdBack ? this.#holdBack.push(bytes) : bytes, reused) ?? true;
  }

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
    if (!this.#upstream) this.#openUpstream(false);
    if (this.#holdBack) this.#outflow?.write(this.#holdBack.release(), false);
    this.#outflow?.end(() => {
      this.#isSent = true;
      source.release?.();
    });
    this.#turns.awaitGlance();
  };

  /** The client went away, or its connection broke. Once its body has ended that changes nothing for Glance. */
  readonly #onSourceClose = (): void => {
    // Not by `source.complete`: it may be parsed to its end and yet not have been read, and then never will be.
    if (!this.#bodyEnded && !this.#options.source.readableEnded) this.#fail(clientAborted());
  };

  readonly #onMalformed = (): void => this.#fail(malformedBody());

  /** Listens on when all is decided: a client that has closed its side can still read the answer. */
  readonly #onHalfClosed = (): void => this.#fail(clientAborted());

  #onAnswer(answer: IncomingMessage): void {
    if (this.#done) return;
    const invalid = unrelayableHead(answer);
    if (invalid) return this.#fail(toUpstreamError(invalid));
    const status = answer.statusCode ?? 0;
    if (!this.#isSent && status < 300) {
      return this.#fail(
        new ProxyError("upstream_early_success", `Glance answered ${status} before the request body ended.`),
      );
    }
    this.#finish();
    this.#settleAnswered(answer);
  }

  #settleAnswered(answer: IncomingMessage): void {
    // Node would first send what is still on its way; a Glance that has answered need not read it, ever.
    if (!this.#isSent) answer.once("close", () => this.#upstream?.destroy());
    this.#resolve({ kind: "answered", answer, early: !this.#bodyEnded });
  }

  #fail(error: ProxyError): void {
    if (this.#done) return;
    this.#finish();
    void this.#abort(error);
  }

  /** A refusal of Glance's that comes meanwhile wins over the proxy's. */
  async #abort(error: ProxyError): Promise<void> {
    const upstream = this.#upstream;
    const { untilBegun } = this.#options;
    const bodyEnded = this.#bodyEnded;
    const end = await breakOff({ upstream, error, bodyEnded, said100: this.#said100, untilBegun });
    if (typeof end !== "string") return this.#settleAnswered(end);
    upstream?.destroy();
    this.#resolve({ kind: "failed", error, begun: end, whole: this.#isSent });
  }

  #finish(): void {
    this.#done = true;
    this.#onWritable?.();
    this.#turns.stop();
    this.#continueWait.stop();
    this.#outflow?.stop();
    const { source } = this.#options;
    source.off("data", this.#onPiece).off("end", this.#onEnd);
    source.off("close", this.#onSourceClose).off("malformed", this.#onMalformed);
    source.renew?.(); // what was written last may still be on its way
    if (!this.#bodyEnded) this.#options.counter.discardFrom(source);
    source.resume();
  }
}
