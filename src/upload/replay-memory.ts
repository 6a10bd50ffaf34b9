/**
 * Uploads that failed in a way after which clients send again what they have already read to its end: keystoneauth logs in again after
 * 401 and Nova repeats after 503 or a broken connection, none of them rewinding the file. What then arrives is the rest of the image,
 * or nothing at all, and would become an image.
 */
import { createHash } from "node:crypto";
import type { Operation } from "../vocabulary/labels.js";
import { ProxyError, sizeMismatch } from "../vocabulary/errors.js";
import { SIZE_HEADER } from "./declared-size.js";

export interface FailedUpload {
  readonly imageId: string;
  readonly operation: Operation;
  readonly userAgent: string | undefined;
}

/** What the next upload must not be shorter than. */
export interface ExhaustedBody {
  /** The size declared, or else the bytes read. */
  readonly bytes: number;
  readonly isDeclared: boolean;
}

/** Kept for all workers together. What is a promise has taken effect for all of them when it resolves. */
export interface ReplayMemory {
  remember(key: string, body: ExhaustedBody): void | Promise<void>;
  recall(key: string): ExhaustedBody | undefined | Promise<ExhaustedBody | undefined>;
  forget(key: string): void | Promise<void>;
}

/** Of fixed length, whatever a client invents. */
export function replayKey({ imageId, operation, userAgent = "" }: FailedUpload): string {
  return createHash("sha256")
    .update(JSON.stringify([imageId, operation, userAgent]))
    .digest("base64");
}

/**
 * @param windowMs how long an upload is remembered.
 * @param most how many are.
 */
export function createReplayMemory(windowMs: number, most = 1_000): ReplayMemory {
  const bodies = new Map<string, ExhaustedBody & { readonly until: number }>();
  return {
    remember(key, body) {
      bodies.delete(key); // the latest goes last
      bodies.set(key, { ...body, until: performance.now() + windowMs });
      const [oldest] = bodies.keys();
      if (bodies.size > most && oldest !== undefined) bodies.delete(oldest);
    },
    recall(key) {
      const body = bodies.get(key);
      if (body === undefined || body.until > performance.now()) return body;
      bodies.delete(key);
      return undefined;
    },
    forget(key) {
      bodies.delete(key);
    },
  };
}

/** @returns why an upload of that many bytes is no new one; undefined if it is. */
export function refuseReplay({ bytes, isDeclared }: ExhaustedBody, got: number): ProxyError | undefined {
  const isReplay = isDeclared ? got < bytes : got === 0;
  if (!isReplay) return undefined;
  return new ProxyError(
    "size_mismatch",
    `${sizeMismatch(bytes, got).message} (An upload of this image with ${bytes} bytes failed a short time ago, and the ` +
      `client seems to send only the rest of it. If this is the whole image, send its size in ${SIZE_HEADER}.)`,
    { isReplay: true },
  );
}
