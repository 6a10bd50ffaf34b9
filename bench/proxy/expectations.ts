/** How the proxy is expected to do beside its peers, in ratios within one run. Pure. */
import type { Expectation } from "../expectation.js";
import { BARE, HAPROXY, NGINX_1M, OURS } from "./peers.js";
import type { Figures, Measured } from "./rounds.js";

/** Of a body whose size is known: its CPU time, of each peer's at most. */
const MOST_CPU = [
  [NGINX_1M, 1],
  [HAPROXY, 0.6],
  [BARE, 0.4],
] as const;
const MOST_STALLED_MIB = 300;

export function judge(measured: readonly Measured[]): Expectation[] {
  return measured.flatMap(({ workload: { load, name }, figures }): Expectation[] => {
    const ours = figures.get(OURS);
    const of = (peer: string, ratio: (ours: Figures, its: Figures) => number): number | undefined => {
      const its = figures.get(peer);
      return ours && its && ratio(ours, its);
    };
    const atMost = (what: string, found: number | undefined, most: number): Expectation =>
      expectation(`${name}: ${what}, at most ${most}`, found, (value) => value <= most);
    const asFast = (unit: string, peer: string): Expectation =>
      expectation(
        `${name}: ${unit}, at least those of ${peer}`,
        of(peer, (mine, its) => its.seconds / mine.seconds),
        (value) => value >= 1,
      );
    if (load.kind === "stall") return [atMost("peak MiB", ours?.peakMiB, MOST_STALLED_MIB)];
    if (load.kind === "requests") return [asFast("requests/s", BARE)];
    if (load.framing === "chunked") return [];
    return [
      ...MOST_CPU.map(([peer, most]) =>
        atMost(
          `CPU, of ${peer}'s`,
          of(peer, (mine, its) => mine.cpuSeconds / its.cpuSeconds),
          most,
        ),
      ),
      asFast("MiB/s", NGINX_1M),
    ];
  });
}

function expectation(text: string, value: number | undefined, good: (value: number) => boolean): Expectation {
  return value === undefined
    ? { text, found: "not measured", holds: undefined }
    : { text, found: value.toFixed(2), holds: good(value) };
}
