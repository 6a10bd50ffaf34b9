/** A body as a raw one tells of itself, in place of a client's: all of it comes when it is first wanted. */
import { EventEmitter } from "node:events";
import { vi } from "vitest";
import type { Body } from "../../src/http/body.js";

export class OnePiece extends EventEmitter implements Body {
  complete = false;
  destroyed = false;
  readonly rawTrailers = [];
  readonly release = vi.fn();
  readonly stopReusing = vi.fn();

  constructor(private readonly piece: Buffer) {
    super();
  }

  get readableEnded(): boolean {
    return this.complete;
  }
  pause(): void {}
  resume(): void {
    if (this.complete) return;
    this.complete = true;
    this.emit("data", this.piece);
    this.emit("end");
  }
}
