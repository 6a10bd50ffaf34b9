/** Around the abort of an upload: waits until Glance has begun, then until Glance has set the image back. It only reads the image. */
import { setTimeout as delay } from "node:timers/promises";
import type { ImageLookUp } from "../upstream/look-up.js";
import type { Operation } from "../vocabulary/labels.js";
import type { RollbackResult } from "../vocabulary/labels.js";
import type { Begun } from "./break-off.js";

export interface RolledBack {
  readonly result: RollbackResult;
  /** Appended to the error message for the client; empty after a normal rollback. */
  readonly remark: string;
}

export interface RollbackOptions {
  /** Milliseconds. */
  readonly timeoutMs: number;
  /** Milliseconds. */
  readonly intervalMs: number;
}

export interface RollbackTarget {
  readonly imageId: string;
  readonly operation: Operation;
}

/** Reads the image, within that many milliseconds. */
export type LookUp = (timeoutMs: number) => Promise<ImageLookUp>;

export interface Rollback {
  /**
   * Waits until the image shows that Glance has begun the upload, for at most `timeoutMs`. If another upload caused the state of the
   * image, for example `active`, this waits for Glance's refusal.
   *
   * @param over resolves when Glance has answered or closed.
   * @param said100 Glance, or a server in front of Glance, has sent `100`. Then this does not wait if the client may not read the image.
   * @returns whether the image showed it.
   */
  untilBegun(over: Promise<void>, said100?: boolean): Promise<boolean>;
  /**
   * Waits until Glance has set the image back to `queued`, for at most `timeoutMs`.
   *
   * @returns undefined if this upload cannot have changed the image.
   */
  untilBack(begun: Begun): Promise<RolledBack | undefined>;
}

export function createRollback(target: RollbackTarget, lookUp: LookUp, options: RollbackOptions): Rollback {
  return new WatchedRollback(target, lookUp, options);
}

class WatchedRollback implements Rollback {
  readonly #target: RollbackTarget;
  readonly #lookUp: LookUp;
  readonly #options: RollbackOptions;
  readonly #begunStatus: string;
  /** The image was not `queued` before this upload can have changed it. */
  #isOthers = false;

  constructor(target: RollbackTarget, lookUp: LookUp, options: RollbackOptions) {
    this.#target = target;
    this.#lookUp = lookUp;
    this.#options = options;
    this.#begunStatus = target.operation === "file" ? "saving" : "uploading";
  }

  async untilBegun(over: Promise<void>, said100 = false): Promise<boolean> {
    const left = countDown(this.#options.timeoutMs);
    let isOver = false;
    void over.then(() => {
      isOver = true;
    });
    while (left() > 0 && !isOver) {
      const seen = await Promise.race([this.#lookUp(left()), over]);
      if (seen?.kind === "found") {
        if (isInProgress(seen) && seen.status === this.#begunStatus) return true;
        this.#isOthers ||= seen.status !== "queued";
      } else if (said100 && (seen?.kind === "denied" || seen?.kind === "gone")) {
        // The client could read the image when Glance said `100`, and no longer can: its token has expired, for example.
        return false;
      }
      await Promise.race([delay(Math.min(this.#options.intervalMs, Math.max(left(), 0))), over]);
    }
    return false;
  }

  async untilBack(begun: Begun): Promise<RolledBack | undefined> {
    if (this.#isOthers) return undefined;
    if (this.#options.timeoutMs === 0) return { result: "unknown", remark: "" };
    const left = countDown(this.#options.timeoutMs);
    let inProgress = false;
    let denied = false;
    do {
      const seen = await this.#lookUp(Math.max(left(), 1));
      switch (seen.kind) {
        case "gone":
          return { result: "unknown", remark: "" };
        case "denied":
          denied = true;
          break; // Glance still has the time to roll back
        case "failed":
          break; // Glance may be busy for a moment
        case "found":
          denied = false;
          inProgress = isInProgress(seen);
          if (inProgress) break;
          if (seen.status === "active") {
            const remark = ` (Glance reports that image ${this.#target.imageId} is active. Check its size and checksum before you use it.)`;
            return { result: "active", remark };
          }
          return begun === "unseen" ? notSeen(this.#target.imageId) : { result: "queued", remark: "" };
      }
      await delay(Math.max(Math.min(this.#options.intervalMs, left()), 0));
    } while (left() > 0);
    if (inProgress) {
      const remark = ` (Glance has not yet set image ${this.#target.imageId} back to queued. Wait before you retry.)`;
      return { result: "timeout", remark };
    }
    const why = denied ? "Glance refused access to it" : "Glance did not report its status";
    return {
      result: "unknown",
      remark: ` (The proxy could not check whether image ${this.#target.imageId} is queued again: ${why}.)`,
    };
  }
}

function notSeen(imageId: string): RolledBack {
  return {
    result: "unknown",
    remark: ` (The proxy did not see Glance start this upload. Glance may start it later. Check image ${imageId} before you retry.)`,
  };
}

/** An image has a size once its data is completely staged. */
export function isInProgress({
  status,
  size,
}: {
  readonly status: string;
  readonly size: number | null;
}): boolean {
  return status === "saving" || (status === "uploading" && size === null);
}

/** @returns a function that tells how many milliseconds are left, by the monotonic clock. */
export function countDown(ms: number): () => number {
  const deadline = performance.now() + ms;
  return () => deadline - performance.now();
}
