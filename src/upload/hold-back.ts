/**
 * Holds back the last byte of a body of known size until the client's body has ended. For Glance, a `Content-Length` body is complete
 * when its last byte arrives. Without the hold-back, a body that is one byte too long would become a truncated active image. Pure.
 */
export class HoldBack {
  #passed = 0;
  #kept: Buffer | undefined;

  /** @param size bytes of the whole body. The caller must not push more. */
  constructor(private readonly size: number) {}

  /** @returns the bytes that may be sent now. */
  push(piece: Buffer): Buffer {
    this.#passed += piece.length;
    if (this.#passed < this.size) return piece;
    const last = piece.length - 1;
    this.#kept = Buffer.from(piece.subarray(last)); // copied, so that the piece can be freed
    return piece.subarray(0, last);
  }

  /** @returns the last byte. Call it when the client's body has ended with its full size. */
  release(): Buffer {
    if (this.#kept === undefined) throw new Error("nothing is held back: the body is not complete");
    return this.#kept;
  }
}
