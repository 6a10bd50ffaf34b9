/** Around the abort of an upload: waiting until Glance has begun it, then until it has put the image back. Only ever looks. */
import { setTimeout as delay } from "node:timers/promises";
import type { ImageLookUp } from "../upstream/look-up.js";
import type { Operation } from "../vocabulary/labels.js";
import type { Begun } from "./break-off.js";
import type { RollbackResult } from "../vocabulary/labels.js";

export interface RolledBack {
  readonly result: RollbackResult;
  /** What the client is told, behind the reason of the refusal; empty if all is well. */
  readonly remark: string;
}

export interface RollbackOptions {
  /** Milliseconds. */
  readonly timeout: number;
  /** Milliseconds. */
  readonly interval: number;
}

export interface RollbackTarget {
  readonly imageId: string;
  readonly operation: Operation;
}

/** Looks at the image, for at most that many milliseconds. */
export type LookUp = (timeoutMs: number) => Promise<ImageLookUp>;

export interface Rollback {
  /**
   * Waits until Glance has begun an upload, so that aborting it will be noticed; at most `timeout`. An image that some other upload
   * has made what it is, `active` for example, is Glance's reason to refuse, so its refusal is waited for.
   *
   * @param over resolves when there is nothing more to wait for.
   * @returns whether Glance was seen to have begun.
   */
  untilBegun(over: Promise<void>): Promise<boolean>;
  /**
   * Waits until Glance has put the image back; at most `timeout`.
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
  /** The image was something else than `queued` before this upload can have changed it. */
  #isOthers = false;

  constructor(target: RollbackTarget, lookUp: LookUp, options: RollbackOptions) {
    this.#target = target;
    this.#lookUp = lookUp;
    this.#options = options;
    this.#begunStatus = target.operation === "file" ? "saving" : "uploading";
  }

  async untilBegun(over: Promise<void>): Promise<boolean> {
    const left = countDown(this.#options.timeout);
    let isOver = false;
    void over.then(() => {
      isOver = true;
    });
    while (left() > 0 && !isOver) {
      const seen = await Promise.race([this.#lookUp(left()), over]);
      if (seen?.kind === "found") {
        if (isInProgress(seen) && seen.status === this.#begunStatus) return true;
        this.#isOthers ||= seen.status !== "queued";
      }
      await Promise.race([delay(Math.min(this.#options.interval, Math.max(left(), 0))), over]);
    }
    return false;
  }

  async untilBack(begun: Begun): Promise<RolledBack | undefined> {
    if (this.#isOthers) return undefined;
    if (this.#options.timeout === 0) return { result: "unknown", remark: "" };
    const left = countDown(this.#options.timeout);
    let inProgress = false;
    let denied = false;
    do {
      const seen = await this.#lookUp(Math.max(left(), 1));
      switch (seen.kind) {
        case "gone":
          return { result: "unknown", remark: "" };
        case "denied":
          denied = true;
          break; // nothing was seen, but Glance has that much time
        case "failed":
          break; // Glance may be busy for a moment: look again
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
      await delay(Math.max(Math.min(this.#options.interval, left()), 0));
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

/** Data that is staged whole has a size; until then the image has none. */
export function isInProgress({
  status,
  size,
}: {
  readonly status: string;
  readonly size: number | null;
}): boolean {
  return status === "saving" || (status === "uploading" && size === null);
}

/** @returns how many milliseconds are left. By a clock that nobody sets. */
export function countDown(ms: number): () => number {
  const deadline = performance.now() + ms;
  return () => deadline - performance.now();
}
