/** A bound on what may be had at once. It is reserved before it is used, so that no number of users overruns it. Pure. */

export interface Quota {
  /** The bound; 0: none. */
  readonly max: number;
  /** @returns whether that much more is to be had; then it is taken. */
  reserve(amount: number): boolean | Promise<boolean>;
  release(amount: number): void;
}

/** A quota that is kept here. */
export interface LocalQuota extends Quota {
  reserve(amount: number): boolean;
  /** Takes as much of it as is to be had. @returns how much that is. */
  reserveUpTo(amount: number): number;
}

/** @param max 0: no limit. */
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
