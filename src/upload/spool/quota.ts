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
}

/** @param max the limit; 0: none. */
export function createQuota(max: number): LocalQuota {
  let used = 0;
  const quota: LocalQuota = {
    max,
    reserve(amount) {
      if (max > 0 && used + amount > max) return false;
      used += amount;
      return true;
    },
    reserveUpTo(amount) {
      const granted = max > 0 ? Math.min(amount, max - used) : amount;
      used += granted;
      return granted;
    },
    release(amount) {
      used -= amount;
    },
  };
  return quota;
}
