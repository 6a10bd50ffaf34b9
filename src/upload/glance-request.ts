/** The request to Glance that carries an upload's body: opened, written to, and ended or broken off. */
import type { ClientRequest, IncomingMessage } from "node:http";
import type { ProxyError } from "../vocabulary/errors.js";
import { type Begun, breakOff } from "./break-off.js";
import { HoldBack } from "./hold-back.js";
import { Outflow } from "./outflow.js";
import type { RelayOptions } from "./relay-plan.js";

/** What becomes of the request. */
export interface GlanceRequestListener {
  onContinue(): void;
  onAnswer(answer: IncomingMessage): void;
  /** @param cause absent if the request closed without an answer and without an error. */
  onBroken(cause?: Error): void;
  /** Glance has read, and memory that was written may be reused. */
  onDrain(): void;
}

export class GlanceRequest {
  /** The kernel has accepted the whole body, so Glance may have it. */
  isSent = false;
  readonly #options: RelayOptions;
  readonly #listener: GlanceRequestListener;
  readonly #holdBack: HoldBack | undefined;
  #request: ClientRequest | undefined;
  #outflow: Outflow | undefined;
  /** Glance, or a server in front of Glance, has sent `100`. */
  #said100 = false;

  constructor(options: RelayOptions, listener: GlanceRequestListener) {
    this.#options = options;
    this.#listener = listener;
    const { framing, declaredBytes } = options.plan;
    if (framing === "content-length" && declaredBytes !== undefined && declaredBytes > 0) {
      this.#holdBack = new HoldBack(declaredBytes);
    }
  }

  get isOpen(): boolean {
    return this.#request !== undefined;
  }

  /** @throws Error if the request cannot be made, for example because of a header. Nothing is sent then. */
  open(expectContinue: boolean): ClientRequest {
    const { open, plan, counter } = this.#options;
    const listener = this.#listener;
    const request = open(expectContinue);
    this.#request = request;
    this.#outflow = new Outflow({
      request,
      framing: plan.framing,
      onForwarded: (bytes) => counter.forwarded(bytes),
      onSent: () => listener.onDrain(),
    });
    request.on("error", (error) => listener.onBroken(error));
    request.on("response", (answer) => listener.onAnswer(answer));
    // For some failures Node emits nothing else, for example for an answer that switches protocols.
    request.on("close", () => listener.onBroken());
    request.on("drain", () => listener.onDrain());
    request.once("continue", () => {
      this.#said100 = true;
      listener.onContinue();
    });
    return request;
  }

  /** @param reused whether the memory is overwritten later. @returns whether to go on now; otherwise `onDrain` follows. */
  write(bytes: Buffer, reused: boolean): boolean {
    return this.#outflow?.write(this.#holdBack ? this.#holdBack.push(bytes) : bytes, reused) ?? true;
  }

  /** Sends what was held back: the body is certain. @param onSent called when the kernel has accepted all of it. */
  end(onSent: () => void): void {
    if (this.#holdBack) this.#outflow?.write(this.#holdBack.release(), false);
    this.#outflow?.end(() => {
      this.isSent = true;
      onSent();
    });
  }

  /** Writes nothing more. */
  stop(): void {
    this.#outflow?.stop();
  }

  destroy(): void {
    this.#request?.destroy();
  }

  /** As {@link breakOff}. The caller destroys the request. */
  breakOff(error: ProxyError): Promise<IncomingMessage | Begun> {
    const { untilBegun } = this.#options;
    return breakOff({
      upstream: this.#request,
      error,
      isSent: this.isSent,
      said100: this.#said100,
      untilBegun,
    });
  }
}
