/** Reusable buffers of one size. New buffers cost page faults and garbage collections. */
export class BufferPool {
  readonly #idle: Buffer[] = [];
  #taken = 0;

  /**
   * @param bytes size of each buffer.
   * @param mostIdle maximum number of unused buffers that are kept.
   * @param most number of buffers in use at which the pool is exhausted.
   */
  constructor(
    private readonly bytes: number,
    private readonly mostIdle: number,
    private readonly most = Number.POSITIVE_INFINITY,
  ) {}

  /** Whether the maximum is in use. Callers that do not need a buffer must not take one then. */
  get exhausted(): boolean {
    return this.#taken >= this.most;
  }

  take(): Buffer {
    this.#taken += 1;
    return this.#idle.pop() ?? Buffer.allocUnsafeSlow(this.bytes);
  }

  /** @param buffer absent if its bytes may still be in a write queue; then it is not reused. */
  release(buffer?: Buffer): void {
    this.#taken -= 1;
    if (buffer && this.#idle.length < this.mostIdle) this.#idle.push(buffer);
  }
}
