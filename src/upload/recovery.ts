/**
 * Finds out what became of an upload that was sent completely but not answered: uWSGI's router and load balancers end a request on
 * which Glance is still working. It reads the image, and changes nothing.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { FoundImage } from "../upstream/look-up.js";
import type { Operation } from "../vocabulary/labels.js";
import type { RecoveryResult } from "../vocabulary/labels.js";
import { countDown, isInProgress, type LookUp, type RollbackOptions } from "./rollback.js";

export interface Recovery {
  readonly result: RecoveryResult;
  /** Last state of the image, in words for the client; empty if it could not be read. */
  readonly seen: string;
}

export interface SentUpload {
  readonly imageId: string;
  readonly operation: Operation;
  /** Bytes of the body. */
  readonly bytes: number;
  /** How long ago the upload began, in milliseconds. */
  readonly begunMsAgo: () => number;
  /** Whether another known upload may have caused the state of the image. */
  readonly hasRival: () => boolean | Promise<boolean>;
}

/** Maximum error when two times of Glance are compared: its clock counts seconds. */
const CLOCK_MS = 1_000;

/** Resolves within `timeoutMs`. */
export async function recoverAnswer(
  upload: SentUpload,
  lookUp: LookUp,
  { timeoutMs, intervalMs }: RollbackOptions,
): Promise<Recovery> {
  const left = countDown(timeoutMs);
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
        // The image became active after the whole body was sent, or it has changed since the upload began.
        const isOwn = inProgress || isOwnDoing(look, upload);
        const isCertain = isOwn && !hadRival && !(await upload.hasRival());
        return { result: isCertain ? "success" : "unknown", seen };
      }
      if (!isInProgress(look)) return { result: "unknown", seen };
      inProgress = true;
    }
    await delay(Math.max(Math.min(intervalMs, left()), 0));
  }
  return { result: "unknown", seen };
}

function isDone({ status, size }: FoundImage, { operation, bytes }: SentUpload): boolean {
  return size === bytes && status === (operation === "file" ? "active" : "uploading");
}

/** False for an image that was complete before this upload began. */
function isOwnDoing({ changedMsAgo }: FoundImage, { begunMsAgo }: SentUpload): boolean {
  return changedMsAgo !== undefined && changedMsAgo <= begunMsAgo() + CLOCK_MS;
}
