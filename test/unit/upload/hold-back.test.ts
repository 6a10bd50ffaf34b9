import fc from "fast-check";
import { expect, it } from "vitest";
import { HoldBack } from "../../../src/upload/hold-back.js";

const pieces = fc.array(fc.uint8Array({ minLength: 1, maxLength: 50 }), { minLength: 1, maxLength: 20 });

it("hold-back passes all but the last byte, however the body is split, and that one at the end", () => {
  fc.assert(
    fc.property(pieces, (list) => {
      const body = Buffer.concat(list);
      const holdBack = new HoldBack(body.length);
      const passed: Buffer[] = [];
      for (const piece of list) {
        passed.push(Buffer.from(holdBack.push(Buffer.from(piece))));
        expect(Buffer.concat(passed).length).toBeLessThanOrEqual(body.length - 1);
      }
      expect(Buffer.concat(passed).length).toBe(body.length - 1);
      expect(Buffer.concat([...passed, holdBack.release()])).toEqual(body);
    }),
  );
});

it("hold-back passes each piece immediately and whole until the last byte arrives", () => {
  const holdBack = new HoldBack(10);
  const piece = Buffer.from("abcd");
  expect(holdBack.push(piece)).toBe(piece);
  expect(holdBack.push(Buffer.from("efghi")).toString()).toBe("efghi");
  expect(holdBack.push(Buffer.from("j")).toString()).toBe("");
  expect(holdBack.release().toString()).toBe("j");
});

it("hold-back releases nothing before the body is complete", () => {
  const holdBack = new HoldBack(3);
  expect(() => holdBack.release()).toThrow();
  holdBack.push(Buffer.from("ab"));
  expect(() => holdBack.release()).toThrow();
});

it("hold-back keeps its byte even if the buffer is reused", () => {
  const holdBack = new HoldBack(2);
  const reused = Buffer.from("ab");
  holdBack.push(reused);
  reused.fill("x");
  expect(holdBack.release().toString()).toBe("b");
});
