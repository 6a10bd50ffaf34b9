/** Around the abort of an upload: waiting until Glance has begun it, then until it has put the image back. Only ever looks. */
import { setTimeout as delay } from "node:timers/promises";
import type { ImageLookUp } from "../glance/image-status.js";

export const ROLLBACK_RESULTS = ["queued", "timeout", "active", "unknown"] as const;

/** `queued`: no longer `saving` or `uploading`; `timeout`: still so; `active`: Glance holds it as whole; `unknown`: not to be seen. */
export type RollbackResult = (typeof ROLLBACK_RESULTS)[number];

export interface RollbackOptions {
  /** Milliseconds. */
  readonly timeout: number;
  /** Milliseconds. */
  readonly interval: number;
}

/** Looks at the image, for at most that many milliseconds. */
export type LookUp = (timeoutMs: number) => Promise<ImageLookUp>;

export interface Rollback {
  /**
   * Waits until Glance has begun an upload, so that aborting it will be noticed.
   * @param over resolves when there is nothing more to wait for.
   */
  untilBegun(over: Promise<void>): Promise<void>;
  /** Waits until Glance has put the image back. */
  untilBack(): Promise<RollbackResult>;
}

/** Both waits together take at most `timeout`, counted from the first of them; that one at most half of it. */
export function createRollback(lookUp: LookUp, { timeout, interval }: RollbackOptions): Rollback {
  let deadline: number | undefined;
  const left = (): number => {
    deadline ??= performance.now() + timeout;
    return deadline - performance.now();
  };
  return {
    async untilBegun(over) {
      let isOver = false;
      void over.then(() => {
        isOver = true;
      });
      while (left() > timeout / 2 && !isOver) {
        const seen = await Promise.race([lookUp(left() - timeout / 2), over]);
        if (!seen || seen.kind === "gone" || (seen.kind === "found" && seen.status !== "queued")) return;
        await Promise.race([delay(interval), over]);
      }
    },

    async untilBack() {
      let result: RollbackResult = "unknown";
      while (left() > 0) {
        const seen = await lookUp(left());
        switch (seen.kind) {
          case "gone":
            return "unknown";
          case "failed":
            break; // Glance may be busy for a moment: look again
          case "found":
            if (seen.status === "active") return "active";
            if (seen.status !== "saving" && seen.status !== "uploading") return "queued";
            result = "timeout";
            break;
        }
        await delay(Math.max(Math.min(interval, left()), 0));
      }
      return result;
    },
  };
}

/** What the client is told, behind the reason of the refusal; nothing where all is well. */
export function explainRollback(result: RollbackResult | undefined, imageId: string): string {
  switch (result) {
    case "timeout":
      return ` (Glance has not yet put image ${imageId} back to queued: wait before you retry.)`;
    case "active":
      return ` (Glance shows image ${imageId} as active: check its size and checksum before you use it.)`;
    case "queued":
    case "unknown":
    case undefined:
      return "";
  }
}
