/** A spool by itself: what is taken while the file is written, and what is read while it is sent. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { afterAll, expect, it } from "vitest";
import { createSpoolBudget } from "../../../../src/upload/spool/budget.js";
import { createQuota } from "../../../../src/upload/spool/quota.js";
import { Spool } from "../../../../src/upload/spool/spool.js";
import { patternedBytes } from "../../../support/bytes.js";

const MEMORY = 1000;
const dir = await mkdtemp(join(tmpdir(), "spool-"));
afterAll(() => rm(dir, { recursive: true, force: true }));

function createSpool(where = dir): { spool: Spool; budget: ReturnType<typeof createSpoolBudget> } {
  const budget = createSpoolBudget(createQuota(0));
  return { spool: new Spool({ dir: where, memoryBytes: MEMORY, maxPerUploadBytes: 0 }, budget), budget };
}

async function content(spool: Spool): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of spool.read()) pieces.push(Buffer.from(piece)); // it is there until the next is asked for
  return Buffer.concat(pieces);
}

/** With the file open, and nothing on its way to it. */
async function createOpenSpool(): Promise<ReturnType<typeof createSpool>> {
  const created = createSpool();
  expect(await created.spool.append(patternedBytes(MEMORY + 1))).toBeUndefined();
  return created;
}

it("the spool returns what it was given, in pieces of any size", async () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 3 * MEMORY }), { maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(sizes, async (lengths) => {
      const { spool, budget } = createSpool();
      let total = 0;
      for (const length of lengths) {
        expect(await spool.append(patternedBytes(length, total))).toBeUndefined();
        total += length;
      }
      expect(budget.usedBytes).toBe(total);
      expect((await content(spool)).equals(patternedBytes(total))).toBe(true);
      await spool.close();
      expect(budget.usedBytes).toBe(0);
    }),
    { numRuns: 100 },
  );
});

it("the spool accepts more while the file is written, up to spool.memory, then applies back-pressure", async () => {
  const { spool } = await createOpenSpool();
  expect(spool.append(patternedBytes(600, 1001))).toBeUndefined();
  expect(spool.append(patternedBytes(400, 1601))).toBeUndefined();
  const waiting = spool.append(patternedBytes(1, 2001));
  expect(waiting).toBeInstanceOf(Promise);
  expect(await waiting).toBeUndefined();
  expect((await content(spool)).equals(patternedBytes(2002))).toBe(true);
  await spool.close();
});

it("a piece read from the spool file is valid until the next is requested", async () => {
  const { spool } = createSpool();
  const bytes = patternedBytes(2 * 1024 * 1024);
  expect(await spool.append(bytes)).toBeUndefined();
  let at = 0;
  for await (const piece of spool.read()) {
    await setImmediate(); // the next is read meanwhile
    expect(piece.equals(bytes.subarray(at, at + piece.length))).toBe(true);
    at += piece.length;
  }
  expect(at).toBe(bytes.length);
  await spool.close();
});

it("the spool can be read completely while the file is still written", async () => {
  const { spool } = await createOpenSpool();
  expect(spool.append(patternedBytes(900, 1001))).toBeUndefined();
  expect((await content(spool)).equals(patternedBytes(1901))).toBe(true);
  await spool.close();
});

it("the spool reports a failed write with the next piece, and loses no data", async () => {
  const { spool } = createSpool(join(dir, "gone"));
  const full = await spool.append(patternedBytes(MEMORY + 1));
  expect(full).toMatchObject({ full: "disk", kept: true, cause: { code: "ENOENT" } });
  expect(spool.append(patternedBytes(1, 1001))).toMatchObject({ full: "disk", kept: true });
  expect((await content(spool)).equals(patternedBytes(1002))).toBe(true);
  await spool.close();
});
