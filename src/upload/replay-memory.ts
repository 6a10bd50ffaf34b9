/**
 * Remembers uploads that failed in a way after which clients retry without rewinding their file: keystoneauth after 401, Nova after 503
 * or a broken connection. The retry has only the rest of the image, or nothing, and Glance would make an image of it.
 */
import { createHash } from "node:crypto";
import { ProxyError, sizeMismatch } from "../vocabulary/errors.js";
import type { Operation } from "../vocabulary/labels.js";
import { SIZE_HEADER } from "../vocabulary/size-header.js";

export interface FailedUpload {
  readonly imageId: string;
  readonly operation: Operation;
  readonly userAgent: string | undefined;
}

/** Minimum size of the next upload. */
export interface ExhaustedBody {
  /** The declared size; if unknown, the bytes read. */
  readonly bytes: number;
  readonly isDeclared: boolean;
}

/** An upload. Its key is computed when it is read. */
export interface Keyed {
  readonly replayKey: string;
}

/** Shared by all workers. If a method returns a promise, its effect is visible to all workers when the promise resolves. */
export interface ReplayMemory {
  remember(upload: Keyed, body: ExhaustedBody): void | Promise<void>;
  recall(upload: Keyed): ExhaustedBody | undefined | Promise<ExhaustedBody | undefined>;
  /** @returns what was remembered. */
  forget(upload: Keyed): ExhaustedBody | undefined | Promise<ExhaustedBody | undefined>;
}

/** In this process. */
export interface LocalReplayMemory extends ReplayMemory {
  /** Sets how long the uploads that fail from now on are remembered, milliseconds. */
  setWindow(windowMs: number): void;
}

/** Has a fixed length, whatever the client sends. */
export function replayKey({ imageId, operation, userAgent = "" }: FailedUpload): string {
  return createHash("sha256")
    .update(JSON.stringify([imageId, operation, userAgent]))
    .digest("base64");
}

/**
 * @param windowMs how long an upload is remembered, milliseconds.
 * @param most maximum number of remembered uploads.
 */
export function createReplayMemory(windowMs: number, most = 1_000): LocalReplayMemory {
  let keepMs = windowMs;
  const bodies = new Map<string, ExhaustedBody & { readonly until: number }>();
  const recall = (upload: Keyed): ExhaustedBody | undefined => {
    if (bodies.size === 0) return undefined; // the usual case, which needs no key
    const { replayKey: key } = upload;
    const body = bodies.get(key);
    if (body === undefined || body.until > performance.now()) return body;
    bodies.delete(key);
    return undefined;
  };
  return {
    remember({ replayKey: key }, { bytes, isDeclared }) {
      bodies.delete(key); // moves the entry to the end
      bodies.set(key, { bytes, isDeclared, until: performance.now() + keepMs });
      const [oldest] = bodies.keys();
      if (bodies.size > most && oldest !== undefined) bodies.delete(oldest);
    },
    recall,
    forget(upload) {
      const body = recall(upload);
      if (body) bodies.delete(upload.replayKey);
      return body;
    },
    setWindow(ms) {
      keepMs = ms;
    },
  };
}

/** @returns the error if an upload of that many bytes is a retry without rewinding; otherwise undefined. */
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
