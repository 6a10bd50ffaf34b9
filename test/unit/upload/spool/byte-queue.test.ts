import fc from "fast-check";
import { expect, it } from "vitest";
import { ByteQueue } from "../../../../src/upload/spool/byte-queue.js";
import { patternedBytes } from "../../../support/bytes.js";

const KIB = 1024;
const MOST_STEPS = 30;
const MOST_BYTES = 300 * KIB;
const bytes = patternedBytes(MOST_STEPS * MOST_BYTES);

it("a byte queue returns the bytes in order and does not move them", () => {
  const step = fc.record({
    push: fc.oneof(fc.nat({ max: MOST_BYTES }), fc.constantFrom(64 * KIB, 128 * KIB, 256 * KIB)),
    shift: fc.double({ min: 0, max: 1, noNaN: true }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: MOST_STEPS }), (steps) => {
      const queue = new ByteQueue();
      let [begin, end] = [0, 0];
      for (const { push, shift } of steps) {
        const before = queue.pieces();
        queue.push(bytes.subarray(end, end + push));
        // Those may be on their way to the disk.
        expect(Buffer.concat(before).equals(bytes.subarray(begin, end))).toBe(true);
        end += push;
        const shifted = Math.floor(shift * (end - begin));
        queue.shift(shifted);
        begin += shifted;
        expect(queue.length).toBe(end - begin);
        expect(Buffer.concat(queue.pieces()).equals(bytes.subarray(begin, end))).toBe(true);
      }
    }),
    { numRuns: 200 },
  );
});

it("a byte queue reuses its memory", () => {
  const queue = new ByteQueue();
  const memories = new Set<ArrayBufferLike>();
  for (let turn = 0; turn < 100; turn += 1) {
    queue.push(bytes.subarray(0, 500 * KIB));
    for (const piece of queue.pieces()) memories.add(piece.buffer);
    queue.shift(queue.length - 1);
  }
  expect(memories.size).toBeLessThan(6);
});
