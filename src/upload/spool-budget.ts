/** What all spooled bodies together may take. Space is reserved before it is used, so that no number of uploads overruns it. */

export const SPOOL_BOUNDS = ["per_upload", "total", "disk"] as const;

/** Which bound was reached; a label of the metrics. */
export type SpoolFull = (typeof SPOOL_BOUNDS)[number];

export interface SpoolBudget {
  /** `spool.maxTotal`; 0: no limit. */
  readonly maxBytes: number;
  /** Bytes reserved now. */
  readonly usedBytes: number;
  /** Bodies kept now. */
  readonly uploads: number;
  /** @returns whether that many bytes more are to be had; then they are taken. */
  reserve(bytes: number): boolean;
  release(bytes: number): void;
  uploadStarted(): void;
  uploadEnded(): void;
}

/** @param maxBytes `spool.maxTotal`; 0: no limit. */
export function createSpoolBudget(maxBytes: number): SpoolBudget {
  let usedBytes = 0;
  let uploads = 0;
  return {
    maxBytes,
    get usedBytes() {
      return usedBytes;
    },
    get uploads() {
      return uploads;
    },
    reserve(bytes) {
      if (maxBytes > 0 && usedBytes + bytes > maxBytes) return false;
      usedBytes += bytes;
      return true;
    },
    release(bytes) {
      usedBytes -= bytes;
    },
    uploadStarted() {
      uploads += 1;
    },
    uploadEnded() {
      uploads -= 1;
    },
  };
}
