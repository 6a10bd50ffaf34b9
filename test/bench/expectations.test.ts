import { describe, expect, it } from "vitest";
import { ANNOUNCED, BASELINE, type Cell, DIRECT_CHUNKED, NGINX, SPOOLED } from "../../bench/glance/cells.js";
import { judge } from "../../bench/glance/expectations.js";
import type { Figures } from "../../bench/glance/rounds.js";

const MIB = 2 ** 20;

/** Seconds and Glance's bytes, by cell. */
type Round = ReadonlyMap<Cell, readonly [seconds: number, glanceBytes: number]>;

const small: Round = new Map([
  [BASELINE, [1, 100]],
  [ANNOUNCED, [1.15, 110]],
  [SPOOLED, [1.05, 100]],
  [NGINX, [1, 100]],
  [DIRECT_CHUNKED, [1, 100]],
]);
const large: Round = new Map([
  [BASELINE, [10, 100]],
  [ANNOUNCED, [10, 100]],
  [SPOOLED, [10, 100]],
  [NGINX, [10, 100]],
  [DIRECT_CHUNKED, [60, 900]],
]);

function verdicts(...rounds: Round[]): (boolean | undefined)[] {
  const results = rounds.map((round, index) => {
    const figures = [...round].map(([cell, [seconds, glanceBytes]]): [Cell, Figures] => [
      cell,
      { seconds, glanceBytes, othersCores: 0, runs: [], proxy: undefined },
    ]);
    return [(index + 1) * 64 * MIB, new Map(figures)] as const;
  });
  return judge(new Map(results)).map(({ holds }) => holds);
}

describe("the judgement of a benchmark", () => {
  it("accepts every value up to its limit", () => {
    expect(verdicts(small, large)).toEqual([true, true, true, true]);
  });

  it.each([
    [
      "an announced upload too slow",
      new Map([...large, [ANNOUNCED, [11.6, 100]]]),
      [false, true, true, true],
    ],
    ["Glance too large", new Map([...large, [ANNOUNCED, [10, 111]]]), [true, false, true, true]],
    ["spooling slower than nginx", new Map([...large, [SPOOLED, [10.6, 100]]]), [true, true, false, true]],
    ["a gain that does not grow", new Map([...large, [DIRECT_CHUNKED, [8, 100]]]), [true, true, true, false]],
  ] as [string, Round, boolean[]][])("finds %s at one of the sizes", (_, changed, found) => {
    expect(verdicts(small, changed)).toEqual(found);
  });

  it("judges no growth with one size, and no nginx if it is not installed", () => {
    const withoutNginx = new Map([...large].filter(([cell]) => cell !== NGINX));
    expect(verdicts(withoutNginx)).toEqual([true, true, undefined, undefined]);
  });
});
