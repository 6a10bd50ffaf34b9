/** A limit of a shared resource. Users reserve before they use, so that they never exceed the limit together. Pure. */

export interface Quota {
  /** The limit; 0: none. */
  readonly max: number;
  /** @returns whether the amount could be reserved. */
  reserve(amount: number): boolean | Promise<boolean>;
  release(amount: number): void;
}

/** A quota in this process. */
export interface LocalQuota extends Quota {
  reserve(amount: number): boolean;
  /** Reserves as much of the amount as is left. @returns how much that is. */
  reserveUpTo(amount: number): number;
  /** Reserves the amount even beyond the limit: it is in use already. */
  take(amount: number): void;
  /** Sets another limit. What is reserved beyond it stays reserved. */
  resize(max: number): void;
}

/** @param max the limit; 0: none. */
export function createQuota(max: number): LocalQuota {
  return new CountedQuota(max);
}

class CountedQuota implements LocalQuota {
  max: number;
  /** Counted without a limit, too: a limit may be set later. */
  #used = 0;

  constructor(max: number) {
    this.max = max;
  }

  reserve(amount: number): boolean {
    if (this.max > 0 && this.#used + amount > this.max) return false;
    this.#used += amount;
    return true;
  }

  reserveUpTo(amount: number): number {
    const granted = this.max > 0 ? Math.min(amount, Math.max(this.max - this.#used, 0)) : amount;
    this.#used += granted;
    return granted;
  }

  take(amount: number): void {
    this.#used += amount;
  }

  release(amount: number): void {
    this.#used -= amount;
  }

  resize(max: number): void {
    this.max = max;
  }
}
