/**
 * Keeps the last byte of a body of known size. A `Content-Length` body is complete for Glance the moment its last byte
 * arrives, so that byte may go only once the client's own body has ended; otherwise a body one byte too long would become a
 * truncated, active image. Pure.
 */
export class HoldBack {
  #passed = 0;
  #kept: Buffer | undefined;

  /** @param size bytes the whole body has; the caller makes sure that no more are pushed. */
  constructor(private readonly size: number) {}

  /** @returns what may go now. */
  push(piece: Buffer): Buffer {
    this.#passed += piece.length;
    if (this.#passed < this.size) return piece;
    const last = piece.length - 1;
    this.#kept = Buffer.from(piece.subarray(last)); // a copy: the piece it came from can be freed
    return piece.subarray(0, last);
  }

  /** @returns the byte kept, once the client's body has ended at its full size. */
  release(): Buffer {
    if (this.#kept === undefined) throw new Error("nothing is held back: the body is not complete");
    return this.#kept;
  }
}
