/** Buffers of one size that are used again: fresh ones cost page faults, and V8 collects garbage because of them. */
export class BufferPool {
  readonly #idle: Buffer[] = [];
  #taken = 0;

  /**
   * @param bytes of each.
   * @param mostIdle kept for the next body; the others are left to be collected.
   */
  constructor(
    private readonly bytes: number,
    private readonly mostIdle: number,
  ) {}

  /** How many are in use. */
  get taken(): number {
    return this.#taken;
  }

  take(): Buffer {
    this.#taken += 1;
    return this.#idle.pop() ?? Buffer.allocUnsafeSlow(this.bytes);
  }

  /** @param buffer absent where what was read into it may still be on its way. */
  release(buffer?: Buffer): void {
    this.#taken -= 1;
    if (buffer && this.#idle.length < this.mostIdle) this.#idle.push(buffer);
  }
}
