/** The reused buffers that one body is read into. */
import type { BufferPool } from "./buffer-pool.js";

/** After this many bytes, larger buffers are used. */
const FLOWING_BYTES = 16 * 1024 * 1024;

/** Buffers for bodies of one purpose. */
export interface ReadMemory {
  readonly usual: BufferPool;
  /** Larger buffers, used after FLOWING_BYTES: from the first pool that is not exhausted. */
  readonly flowing: readonly BufferPool[];
}

export class HeldBuffers {
  /** Buffers to give back. */
  readonly #held: { readonly pool: BufferPool; readonly buffer: Buffer }[] = [];
  /** Pools of larger buffers; empty once one is used. */
  #flowing: readonly BufferPool[];
  #readBytes = 0;
  /** The buffer to read into. */
  current: Buffer;

  constructor({ usual, flowing }: ReadMemory) {
    this.#flowing = flowing;
    this.current = this.#hold(usual);
  }

  /** @param bytes read since the last call. @returns whether {@link current} is now a larger buffer. */
  grow(bytes: number): boolean {
    this.#readBytes += bytes;
    if (this.#readBytes < FLOWING_BYTES) return false;
    const large = this.#flowing.find((pool) => !pool.exhausted);
    if (!large) return false;
    this.#flowing = [];
    this.current = this.#hold(large);
    return true;
  }

  /** Gives the buffers back, for another body. */
  release(): void {
    for (const { pool, buffer } of this.#held.splice(0)) pool.release(buffer);
  }

  /** Drops the buffers, because their bytes may still be queued for writing. */
  letGo(): void {
    for (const { pool } of this.#held.splice(0)) pool.release();
  }

  #hold(pool: BufferPool): Buffer {
    const buffer = pool.take();
    this.#held.push({ pool, buffer });
    return buffer;
  }
}
