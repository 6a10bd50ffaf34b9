/**
 * An upload whose body went to Glance whole and whose answer was lost, or came too late: uWSGI's router and balancers end a request
 * that Glance is still working on. The image tells what became of it. Only ever looks.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { FoundImage } from "../upstream/look-up.js";
import type { Operation } from "../vocabulary/labels.js";
import type { RecoveryResult } from "../vocabulary/labels.js";
import { countDown, isInProgress, type LookUp, type RollbackOptions } from "./rollback.js";

export interface Recovery {
  readonly result: RecoveryResult;
  /** What was seen last, for the client to read; empty if nothing was. */
  readonly seen: string;
}

export interface SentUpload {
  readonly imageId: string;
  readonly operation: Operation;
  /** Bytes of the body. */
  readonly bytes: number;
  /** How long ago the upload began, in milliseconds. */
  readonly begunMsAgo: () => number;
  /** Whether any other upload to the same image is known that may have made it what it is. */
  readonly hasRival: () => boolean | Promise<boolean>;
}

/** What Glance's clock, which counts seconds, may be wrong by when two of its times are compared. */
const CLOCK_MS = 1_000;

/** Looks for at most `timeout`. */
export async function recoverAnswer(
  upload: SentUpload,
  lookUp: LookUp,
  { timeout, interval }: RollbackOptions,
): Promise<Recovery> {
  const left = countDown(timeout);
  const hadRival = await upload.hasRival();
  let inProgress = false;
  let seen = "";
  while (left() > 0) {
    const look = await lookUp(left());
    if (look.kind === "gone") return { result: "unknown", seen: `image ${upload.imageId} does not exist` };
    if (look.kind === "found") {
      seen = `image ${upload.imageId} is ${look.status}${look.size === null ? "" : ` with ${look.size} bytes`}`;
      if (look.status === "queued") return { result: "queued", seen };
      if (isDone(look, upload)) {
        // It was seen to become so after all of the body was sent, or it has changed since the upload began.
        const isOwn = inProgress || isOwnDoing(look, upload);
        const isCertain = isOwn && !hadRival && !(await upload.hasRival());
        return { result: isCertain ? "success" : "unknown", seen };
      }
      if (!isInProgress(look)) return { result: "unknown", seen };
      inProgress = true;
    }
    await delay(Math.max(Math.min(interval, left()), 0));
  }
  return { result: "unknown", seen };
}

function isDone({ status, size }: FoundImage, { operation, bytes }: SentUpload): boolean {
  return size === bytes && status === (operation === "file" ? "active" : "uploading");
}

/** An image that was complete before this upload began has not been changed since. */
function isOwnDoing({ changedMsAgo }: FoundImage, { begunMsAgo }: SentUpload): boolean {
  return changedMsAgo !== undefined && changedMsAgo <= begunMsAgo() + CLOCK_MS;
}
