/** Buffers of one size that are used again: fresh ones cost page faults, and V8 collects garbage because of them. */
export class BufferPool {
  readonly #idle: Buffer[] = [];
  #taken = 0;

  /**
   * @param bytes of each.
   * @param mostIdle kept for the next body; the others are left to be collected.
   * @param most in use before it is exhausted.
   */
  constructor(
    private readonly bytes: number,
    private readonly mostIdle: number,
    private readonly most = Number.POSITIVE_INFINITY,
  ) {}

  /** Whoever can do without takes none then. */
  get exhausted(): boolean {
    return this.#taken >= this.most;
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
