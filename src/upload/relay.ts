/**
 * Carries an upload's body from the client to Glance: counted, never one byte too many, never complete before the client's
 * own body is. Whatever goes wrong destroys the request to Glance; only a body that ended as declared finishes it.
 *
 * Who ends what: this relay ends or destroys the request to Glance. The client's request and response are the caller's.
 */
import type { ClientRequest, IncomingMessage } from "node:http";
import { clientAborted, clientTimeout, malformedBody, ProxyError, toProxyError } from "../proxy-error.js";
import { invalidStatusLine } from "../proxy/answer-head.js";
import type { Body } from "../proxy/body.js";
import { onceConnected, toUpstreamError, upstreamErrorKind, upstreamTimeout } from "../proxy/upstream.js";
import { createTimer, type Timer } from "../timer.js";
import { sizeExceeded, sizeMismatch, tooLarge } from "./declared-size.js";
import { HoldBack } from "./hold-back.js";
import { Outflow } from "./outflow.js";
import type { Upload } from "./upload.js";

/**
 * Glance refuses an upload it does not want before it reads any of it, and under uWSGI closes at once: body bytes on the
 * way would then reset the connection and lose the answer. So the body waits for `100 Continue`; uWSGI never sends one.
 */
const CONTINUE_WAIT_MS = 1_000;

export interface RelayOptions {
  readonly source: Body;
  readonly upload: Upload;
  /** The beginning of the body, read and counted already; `source` has the rest. A piece is there until the next is asked for. */
  readonly kept?: AsyncIterable<Buffer> | undefined;
  /** Opens the request to Glance, its head complete with framing. */
  readonly open: () => ClientRequest;
  /** Called when the client may send its body. */
  readonly onContinue: () => void;
  /**
   * Called before a request is destroyed of which it is not known whether Glance has begun it. Resolves when it has, or when it
   * has been waited for long enough; `over` resolves when Glance has answered or closed.
   */
  readonly untilBegun: (over: Promise<void>) => Promise<void>;
  /** Most bytes accepted; for bodies of unknown size. */
  readonly maxBytes: number;
  /** `limits.idleTimeout`, milliseconds. */
  readonly idleMs: number;
  /** `upstream.responseTimeout`, milliseconds. */
  readonly silenceMs: number;
}

export type RelayEnd =
  /** Glance answered: after the whole body or, `early`, with a refusal before its end. */
  | { readonly kind: "answered"; readonly answer: IncomingMessage; readonly early: boolean }
  /** The request to Glance was destroyed. `begun`: Glance may have seen it. */
  | { readonly kind: "failed"; readonly error: ProxyError; readonly begun: boolean };

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
  /** The client's turn. */
  readonly #idle: Timer;
  /** Glance's turn: to read on, or to answer. */
  readonly #silence: Timer;
  readonly #continueWait: Timer;
  #upstream: ClientRequest | undefined;
  #outflow: Outflow | undefined;
  /** Set while kept pieces wait for Glance to read. */
  #onWritable: (() => void) | undefined;
  /** Glance has said `100`: it has marked the image, and reads. */
  #begun = false;
  #reading = false;
  /** The client, or what is kept, waits until Glance has read. */
  #waiting = false;
  #bodyEnded = false;
  #done = false;

  constructor(options: RelayOptions, resolve: (end: RelayEnd) => void) {
    this.#options = options;
    this.#resolve = resolve;
    const { declaredBytes, framingOut } = options.upload;
    if (framingOut === "content-length" && declaredBytes !== undefined && declaredBytes > 0) {
      this.#holdBack = new HoldBack(declaredBytes);
    }
    this.#idle = createTimer(options.idleMs, () => this.#fail(clientTimeout()));
    this.#silence = createTimer(options.silenceMs, () => this.#fail(upstreamTimeout()));
    this.#continueWait = createTimer(CONTINUE_WAIT_MS, () => this.#readBody());
  }

  start(): void {
    const { source, upload } = this.#options;
    source.on("close", this.#onSourceClose).once("malformed", this.#onMalformed);
    if (source.malformed) {
      this.#onMalformed();
    } else if (source.destroyed && !source.readableEnded) {
      this.#onSourceClose();
    } else if (upload.framingOut === "content-length" && upload.declaredBytes === 0) {
      // A head with `Content-Length: 0` is a complete upload: it may not go before the client's body has ended.
      this.#readBody();
    } else {
      this.#openUpstream();
      this.#upstream?.once("continue", () => {
        this.#begun = true;
        this.#readBody();
      });
      this.#upstream?.once("socket", (socket) => onceConnected(socket, () => this.#continueWait.start()));
      this.#upstream?.flushHeaders();
    }
  }

  #openUpstream(): void {
    const upstream = this.#options.open();
    const { upload } = this.#options;
    this.#upstream = upstream;
    this.#outflow = new Outflow({
      request: upstream,
      framing: upload.framingOut ?? "content-length",
      onForwarded: (bytes) => upload.forwarded(bytes),
      onSent: this.#onSent,
    });
    upstream.on("error", (error) => this.#fail(toUpstreamError(error)));
    upstream.on("response", (answer) => this.#onAnswer(answer));
    // Also where Node says nothing else: an answer that switches protocols, for one.
    upstream.on("close", () => {
      if (!this.#done) this.#fail(toUpstreamError(new Error("closed without an answer")));
    });
    upstream.on("drain", this.#onDrain);
  }

  readonly #onDrain = (): void => {
    if (!this.#waiting || this.#done || this.#bodyEnded) return; // nobody waits, or it is Glance's turn
    this.#waiting = false;
    this.#silence.stop();
    if (this.#onWritable) this.#onWritable();
    else this.#awaitClient();
  };

  /** Nothing is on its way to Glance any more, so the memory it lay in may be read into again. */
  readonly #onSent = (): void => {
    if (this.#upstream?.writableLength === 0) this.#onDrain();
  };

  /** Once: on `100`, or when it has been waited for long enough. */
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
        this.#silence.start();
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
    this.#idle.start();
    this.#options.source.resume();
  }

  readonly #onPiece = (piece: Buffer): void => {
    const { upload, maxBytes } = this.#options;
    upload.received(piece.length);
    if (upload.declaredBytes !== undefined && upload.receivedBytes > upload.declaredBytes) {
      return this.#fail(sizeExceeded(upload.declaredBytes, upload.receivedBytes));
    }
    if (upload.receivedBytes > maxBytes) return this.#fail(tooLarge(upload.receivedBytes, maxBytes));
    this.#idle.start();
    const reused = this.#options.source.renew !== undefined;
    if (!this.#write(piece, reused)) {
      this.#waiting = true;
      this.#idle.stop();
      this.#silence.start();
      this.#options.source.pause();
    }
  };

  /** @returns whether to go on; else {@link #onDrain} tells when. */
  #write(bytes: Buffer, reused: boolean): boolean {
    return this.#outflow?.write(this.#holdBack ? this.#holdBack.push(bytes) : bytes, reused) ?? true;
  }

  readonly #onEnd = (): void => {
    const { declaredBytes, receivedBytes } = this.#options.upload;
    this.#idle.stop();
    if (declaredBytes !== undefined && receivedBytes < declaredBytes) {
      return this.#fail(sizeMismatch(declaredBytes, receivedBytes));
    }
    this.#bodyEnded = true;
    if (!this.#upstream) this.#openUpstream();
    if (this.#holdBack) this.#outflow?.write(this.#holdBack.release(), false);
    const { source } = this.#options;
    this.#outflow?.end(() => source.release?.()); // with the kernel, all of it
    this.#silence.start();
  };

  /** The client went away, or its connection broke. Once its body has ended that changes nothing for Glance. */
  readonly #onSourceClose = (): void => {
    // Not by `source.complete`: it may be parsed to its end and yet not have been read, and then never will be.
    if (!this.#bodyEnded && !this.#options.source.readableEnded) this.#fail(clientAborted());
  };

  readonly #onMalformed = (): void => this.#fail(malformedBody());

  #onAnswer(answer: IncomingMessage): void {
    if (this.#done) return;
    const invalid = invalidStatusLine(answer);
    if (invalid) return this.#fail(toUpstreamError(invalid));
    const status = answer.statusCode ?? 0;
    if (!this.#bodyEnded && status < 300) {
      return this.#fail(
        new ProxyError("upstream_early_success", `Glance answered ${status} before the body had ended.`),
      );
    }
    // Node would first send what is still on its way; a Glance that has answered need not read it, ever.
    if (!this.#bodyEnded) answer.once("close", () => this.#upstream?.destroy());
    this.#finish();
    this.#resolve({ kind: "answered", answer, early: !this.#bodyEnded });
  }

  #fail(error: ProxyError): void {
    if (this.#done) return;
    this.#finish();
    void this.#abort(error).then((begun) => this.#resolve({ kind: "failed", error, begun }));
  }

  /** Destroys the request to Glance. @returns whether Glance may have seen it. */
  async #abort(error: ProxyError): Promise<boolean> {
    const upstream = this.#upstream;
    if (!upstream || error.code === "upstream_unreachable" || error.code === "upstream_connect_timeout")
      return false;
    // A Glance that is slow to begin would find the image as it was, and mark it only after we have looked.
    if (!this.#begun && !this.#bodyEnded && !upstream.destroyed && upstreamErrorKind(error) === undefined) {
      await this.#options.untilBegun(
        new Promise((resolve) => {
          upstream
            .once("continue", resolve)
            .once("close", resolve)
            .once("response", () => resolve());
        }),
      );
    }
    upstream.destroy();
    return true;
  }

  #finish(): void {
    this.#done = true;
    this.#onWritable?.();
    this.#idle.stop();
    this.#silence.stop();
    this.#continueWait.stop();
    this.#outflow?.stop();
    const { source } = this.#options;
    source.off("data", this.#onPiece).off("end", this.#onEnd);
    source.off("close", this.#onSourceClose).off("malformed", this.#onMalformed);
    source.renew?.(); // what was written last may still be on its way
    source.resume();
  }
}
