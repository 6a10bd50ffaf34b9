/** Space that all spooled bodies of this process use. */
import type { Quota } from "./quota.js";

export interface SpoolBudget {
  /** Bytes reserved at the moment. */
  readonly usedBytes: number;
  /** Bodies in the spool at the moment. */
  readonly uploads: number;
  /** Maximum bytes of all processes together; 0: no limit. */
  readonly maxBytes: number;
  /** Reserves bytes. @returns false if too few are left. */
  reserve(bytes: number): boolean | Promise<boolean>;
  release(bytes: number): void;
  uploadStarted(): void;
  uploadEnded(): void;
}

/** @param quota `spool.maxTotal`. */
export function createSpoolBudget(quota: Quota): SpoolBudget {
  let usedBytes = 0;
  let uploads = 0;
  return {
    get usedBytes() {
      return usedBytes;
    },
    get uploads() {
      return uploads;
    },
    get maxBytes() {
      return quota.max;
    },
    reserve(bytes) {
      const reserved = quota.reserve(bytes);
      return reserved instanceof Promise ? reserved.then(count) : count(reserved);

      function count(isReserved: boolean): boolean {
        if (isReserved) usedBytes += bytes;
        return isReserved;
      }
    },
    release(bytes) {
      usedBytes -= bytes;
      quota.release(bytes);
    },
    uploadStarted() {
      uploads += 1;
    },
    uploadEnded() {
      uploads -= 1;
    },
  };
}
