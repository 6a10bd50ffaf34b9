import { createHash } from "node:crypto";

/** Bytes that tell their place: none that is lost, doubled or out of order goes unseen. */
export function patternedBytes(length: number, start = 0): Buffer {
  return Buffer.from(Array.from({ length }, (_, index) => (start + index) % 251));
}

export function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
