/** A client's upload, in steps that a test takes one by one. */
import { IncompleteResponse, type Peer } from "../support/raw-http.js";
import { DEADLINE_MS } from "./eventually.js";

export const FRAMINGS = ["Content-Length", "chunked", "chunked with header"] as const;
export type Framing = (typeof FRAMINGS)[number];

/** What a client is left with: a whole answer, one that was cut short, or none. */
export type Reading = number | "cut answer" | "no answer";

export interface ClientUploadOptions {
  readonly framing: Framing;
  readonly target: string;
  readonly size: number;
}

export class ClientUpload {
  /** Whether the body has been sent to its very end. */
  whole = false;
  #sentBytes = 0;

  constructor(
    readonly peer: Peer,
    readonly options: ClientUploadOptions,
  ) {}

  get sizeSource(): string {
    const { framing } = this.options;
    if (framing === "Content-Length") return "content_length";
    return framing === "chunked" ? "unknown" : "header";
  }

  get headers(): Record<string, string | number> {
    const { framing, size } = this.options;
    return {
      "Content-Type": "application/octet-stream",
      ...(framing === "Content-Length" ? { "Content-Length": size } : { "Transfer-Encoding": "chunked" }),
      ...(framing === "chunked with header" ? { "x-openstack-image-size": size } : {}),
    };
  }

  sendHead(more: Record<string, string | number> = {}): this {
    this.peer.sendHead("PUT", this.options.target, { ...this.headers, ...more });
    return this;
  }

  sendHalf(): this {
    return this.#sendUpTo(this.options.size / 2);
  }

  /** As much as can be sent while the body is not over: everything, or with a length everything but one byte. */
  sendAllButTheEnd(): this {
    const { framing, size } = this.options;
    return this.#sendUpTo(framing === "Content-Length" ? size - 1 : size);
  }

  finish(): this {
    this.whole = true;
    return this.finishInVain();
  }

  /** As a client that has been refused already and ends its body all the same: nothing of it is for Glance. */
  finishInVain(): this {
    return this.sendAllButTheEnd().send(this.end);
  }

  /** What is missing once everything but the end has been sent. */
  get end(): string {
    return this.options.framing === "Content-Length" ? "x" : "0\r\n\r\n";
  }

  send(bytes: string): this {
    if (this.peer.socket.writable) this.peer.send(bytes);
    return this;
  }

  /** The final answer, or how it failed to come. */
  async reading(): Promise<Reading> {
    try {
      return (await this.peer.response({ deadlineMs: DEADLINE_MS })).status;
    } catch (error) {
      if (!(error instanceof IncompleteResponse)) throw error;
      return error.head ? "cut answer" : "no answer";
    }
  }

  #sendUpTo(bytes: number): this {
    const missing = Buffer.alloc(Math.max(bytes - this.#sentBytes, 0), "x");
    this.#sentBytes += missing.length;
    if (!this.peer.socket.writable) return this;
    if (this.options.framing === "Content-Length") this.peer.send(missing);
    else this.peer.sendChunk(missing);
    return this;
  }
}
