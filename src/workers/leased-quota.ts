/** A worker's part of a quota that its primary keeps for all. */
import type { Quota } from "../upload/spool/quota.js";

export interface QuotaLessor {
  /** @returns how much of that is now ours. */
  reserve(amount: number): Promise<number>;
  release(amount: number): void;
}

/**
 * Asks for a block at a time, so that not each piece of a body costs a message; as much may stay here unused.
 *
 * @param max of all workers together; 0: no limit, and nobody is asked.
 * @param block 0: never more than is needed.
 */
export function createLeasedQuota(max: number, block: number, lessor: QuotaLessor): Quota {
  if (max === 0) return { max, reserve: () => true, release: () => undefined };
  let leased = 0;
  let used = 0;
  const take = (amount: number): boolean => {
    if (used + amount > leased) return false;
    used += amount;
    return true;
  };
  return {
    max,
    reserve: (amount) => take(amount) || askFor(amount),
    release(amount) {
      used -= amount;
      giveBack();
    },
  };

  async function askFor(amount: number): Promise<boolean> {
    // What lay here when we asked may have been taken meanwhile; only less than we asked for is a refusal.
    for (let isRefused = false; !isRefused;) {
      const asked = Math.max(used + amount - leased, block);
      const granted = await lessor.reserve(asked);
      leased += granted;
      isRefused = granted < asked;
      if (take(amount)) return true;
    }
    giveBack();
    return false;
  }

  /** What was granted but did not suffice may be just what another worker needs. */
  function giveBack(): void {
    const surplus = leased - used - (used === 0 ? 0 : block);
    if (surplus <= 0) return;
    leased -= surplus;
    lessor.release(surplus);
  }
}
