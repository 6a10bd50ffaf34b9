/** Memory that a body was read into, and when it may serve another. All else is seen end to end. */
import { expect, it } from "vitest";
import { Waits } from "../../../../src/http/waits.js";
import { keepBody, type Kept } from "../../../../src/upload/spool/keep-body.js";
import type { Spool, SpoolRefusal } from "../../../../src/upload/spool/spool.js";
import { OnePiece } from "../../../support/one-piece.js";

function keep(source: OnePiece, append: Spool["append"]): Promise<Kept> {
  return keepBody({
    source,
    spool: { append } as Spool,
    counter: {
      received: () => undefined,
      receivedBytes: 5,
      forwarded: () => undefined,
      discardFrom: () => undefined,
    },
    waits: new Waits(),
    maxBytes: Number.POSITIVE_INFINITY,
    idleMs: 60_000,
  });
}

it("reuses the read buffer once the spool has copied the body", async () => {
  const source = new OnePiece(Buffer.from("hello"));
  let copied = (): void => undefined;
  const kept = keep(source, () => new Promise<undefined>((resolve) => (copied = () => resolve(undefined))));
  await new Promise(setImmediate);
  expect(source.release).not.toHaveBeenCalled();
  copied();
  expect(await kept).toEqual({ kind: "whole" });
  expect(source.release).toHaveBeenCalledOnce();
});

it.each([true, false])(
  "does not reuse the read buffer if the spool is full, last piece kept: %s",
  async (isKept) => {
    const source = new OnePiece(Buffer.from("hello"));
    const why: SpoolRefusal = { full: "total", kept: isKept };
    expect(await keep(source, () => why)).toMatchObject({ kind: "full", why });
    expect(source.release).not.toHaveBeenCalled();
  },
);
