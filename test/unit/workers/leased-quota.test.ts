import { describe, expect, it } from "vitest";
import { createQuota } from "../../../src/upload/spool/quota.js";
import { createLeasedQuota } from "../../../src/workers/leased-quota.js";

/** A worker's part of a quota of 1000, asked for 10 at a time. */
function lease() {
  const whole = createQuota(1000);
  return createLeasedQuota(whole.max, 10, {
    reserve: (amount) => Promise.resolve(whole.reserveUpTo(amount)),
    take: (amount) => whole.take(amount),
    release: (amount) => whole.release(amount),
  });
}

describe("what lies unused here may be taken while more is asked for:", () => {
  it("nobody is refused if the whole is enough for all", async () => {
    const quota = lease();
    expect(await quota.reserve(1)).toBe(true); // 9 lie here
    expect(await Promise.all([quota.reserve(100), quota.reserve(9)])).toEqual([true, true]);
  });

  it("a refused reservation takes nothing, and a released one can be reserved again", async () => {
    const quota = lease();
    expect(await Promise.all([quota.reserve(600), quota.reserve(600)])).toEqual([true, false]);
    expect(await quota.reserve(400)).toBe(true);
    expect(await quota.reserve(1)).toBe(false);
    quota.release(1000);
    expect(await quota.reserve(1000)).toBe(true);
  });
});

it("without a limit, what is used is counted all the same: a new configuration may have a limit", async () => {
  const whole = createQuota(0);
  const quota = createLeasedQuota(0, 10, {
    reserve: () => Promise.reject(new Error("not asked")),
    take: (amount) => whole.take(amount),
    release: (amount) => whole.release(amount),
  });
  expect(await quota.reserve(95)).toBe(true);
  whole.resize(100);
  expect(whole.reserveUpTo(10)).toBe(5);
  whole.resize(50);
  expect(whole.reserveUpTo(10)).toBe(0);
  quota.release(95);
  expect(whole.reserveUpTo(50)).toBe(45);
});
