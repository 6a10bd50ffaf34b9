/** A worker's share of a quota that the primary process keeps for all workers. */
import type { Quota } from "../upload/spool/quota.js";

export interface QuotaLessor {
  /** @returns how much of `amount` was granted. */
  reserve(amount: number): Promise<number>;
  /** Counts an amount that is used whatever the limit is. */
  take(amount: number): void;
  release(amount: number): void;
}

/**
 * Reserves in blocks, so that a piece of a body does not cost a message each time. Up to one block stays reserved but unused.
 *
 * @param max limit of all workers together. 0 means no limit: the primary is told, not asked. Workers with another configuration may
 *   have a limit.
 * @param block minimum amount to ask for. 0 means the exact amount needed.
 */
export function createLeasedQuota(max: number, block: number, lessor: QuotaLessor): Quota {
  let leased = 0;
  let used = 0;
  const take = (amount: number): boolean => {
    if (used + amount > leased) return false;
    used += amount;
    return true;
  };
  return {
    max,
    reserve: (amount) => take(amount) || (max === 0 ? takeMore(amount) : askFor(amount)),
    release(amount) {
      used -= amount;
      giveBack();
    },
  };

  function takeMore(amount: number): boolean {
    const more = Math.max(used + amount - leased, block);
    leased += more;
    lessor.take(more);
    return take(amount);
  }

  async function askFor(amount: number): Promise<boolean> {
    // A concurrent call may take the amount that was free before this request. Only a grant below `asked` is a refusal.
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

  /** Returns what is reserved beyond one block: another worker may need it. */
  function giveBack(): void {
    const surplus = leased - used - (used === 0 ? 0 : block);
    if (surplus <= 0) return;
    leased -= surplus;
    lessor.release(surplus);
  }
}
