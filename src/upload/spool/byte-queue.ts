/** A first-in, first-out queue of bytes in reused memory. Pure. */
const SLAB_BYTES = 128 * 1024;

export class ByteQueue {
  #slabs: Buffer[] = [];
  #unused: Buffer[] = [];
  /** Offset of the first byte in the first slab. */
  #start = 0;
  /** Offset behind the last byte, from the start of the first slab. */
  #end = 0;

  get length(): number {
    return this.#end - this.#start;
  }

  push(bytes: Buffer): void {
    for (let copied = 0; copied < bytes.length;) {
      const at = this.#end % SLAB_BYTES;
      if (at === 0) this.#slabs.push(this.#unused.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES));
      const fits = bytes.copy(this.#slabs.at(-1) as Buffer, at, copied);
      copied += fits;
      this.#end += fits;
    }
  }

  /** The bytes, not copied: valid until they are removed. */
  pieces(): Buffer[] {
    return this.#slabs.map((slab, index) =>
      slab.subarray(index === 0 ? this.#start : 0, this.#end - index * SLAB_BYTES),
    );
  }

  /** Removes the first bytes. */
  shift(bytes: number): void {
    this.#start += bytes;
    const emptied = this.length === 0 ? this.#slabs.length : Math.floor(this.#start / SLAB_BYTES);
    for (const slab of this.#slabs.splice(0, emptied)) this.#unused.push(slab);
    const length = this.length;
    this.#start = length === 0 ? 0 : this.#start % SLAB_BYTES;
    this.#end = this.#start + length;
  }

  /** Frees memory that holds no bytes. */
  trim(): void {
    this.#unused = [];
  }

  clear(): void {
    this.#slabs = [];
    this.trim();
    this.#start = 0;
    this.#end = 0;
  }
}
