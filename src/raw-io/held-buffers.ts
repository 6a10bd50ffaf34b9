/** The reused buffers that one body is read into. */
import { BufferPool } from "./buffer-pool.js";

/** After this many bytes, larger buffers are used. */
const FLOWING_BYTES = 16 * 1024 * 1024;
/**
 * Sizes of the larger buffers. Measured: a single upload or download gains up to 4 MiB. Several concurrent uploads gain nothing above 2 MiB,
 * and with 1 MiB, eight concurrent downloads cost a quarter more.
 */
const LARGE_BYTES = 2 * 1024 * 1024;
const LARGEST_BYTES = 4 * 1024 * 1024;
/** Maximum number of bodies with such buffers, which are for a few fast connections. */
const MOST_LARGE = 16;
const MOST_LARGEST = 1;
/** Maximum number of unused buffers of LARGE_BYTES that are kept. */
const MOST_IDLE_LARGE = 2;

/** Buffers for bodies of one purpose. */
export interface ReadMemory {
  readonly usual: BufferPool;
  /** Larger buffers, used after FLOWING_BYTES: from the first pool that is not exhausted. */
  readonly flowing: readonly BufferPool[];
}

/** The larger buffers for one direction. */
export function createFlowingPools(): BufferPool[] {
  return [
    new BufferPool(LARGEST_BYTES, MOST_LARGEST, MOST_LARGEST),
    new BufferPool(LARGE_BYTES, MOST_IDLE_LARGE, MOST_LARGE),
  ];
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
