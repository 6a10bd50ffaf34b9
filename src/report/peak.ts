/** How many bytes are in use at the same time, from the times at which they are taken and given back. Pure. */

export interface Peak {
  readonly bytes: number;
  /** When it began, milliseconds since 1970. */
  readonly atMs: number;
}

export class ConcurrentBytes {
  readonly #mostTimes: number;
  /** Bytes by time, in units of `#unitMs`. */
  #taken = new Map<number, number>();
  #given = new Map<number, number>();
  #unitMs = 1;

  /** @param mostTimes maximum number of times that are told apart. Beyond it times are rounded, so that the peak may be too high. */
  constructor(mostTimes = 100_000) {
    this.#mostTimes = mostTimes;
  }

  add(startMs: number, endMs: number, bytes: number): void {
    const start = Math.floor(startMs / this.#unitMs);
    increase(this.#taken, start, bytes);
    increase(this.#given, Math.max(Math.ceil(endMs / this.#unitMs), start + 1), bytes);
    while (this.#taken.size + this.#given.size > this.#mostTimes) this.#coarsen();
  }

  /** @returns undefined if nothing was added. */
  peak(): Peak | undefined {
    const times = [...new Set([...this.#taken.keys(), ...this.#given.keys()])].sort((a, b) => a - b);
    let used = 0;
    let peak: Peak | undefined;
    for (const time of times) {
      // What ends at this time makes room first.
      used += (this.#taken.get(time) ?? 0) - (this.#given.get(time) ?? 0);
      if (peak === undefined || used > peak.bytes) peak = { bytes: used, atMs: time * this.#unitMs };
    }
    return peak;
  }

  #coarsen(): void {
    this.#unitMs *= 2;
    this.#taken = regroup(this.#taken, Math.floor);
    this.#given = regroup(this.#given, Math.ceil);
  }
}

function increase(map: Map<number, number>, key: number, by: number): void {
  map.set(key, (map.get(key) ?? 0) + by);
}

function regroup(map: Map<number, number>, round: (time: number) => number): Map<number, number> {
  const grouped = new Map<number, number>();
  for (const [time, bytes] of map) increase(grouped, round(time / 2), bytes);
  return grouped;
}
