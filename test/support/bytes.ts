/** Bytes that tell their place: none that is lost, doubled or out of order goes unseen. */
export function patternedBytes(length: number, start = 0): Buffer {
  return Buffer.from(Array.from({ length }, (_, index) => (start + index) % 251));
}
