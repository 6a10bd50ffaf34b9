/** What the proxy is expected to bring, and whether it did. Pure. */
import type { Expectation } from "../expectation.js";
import { printRatio, printSize } from "../format.js";
import { ANNOUNCED, BASELINE, type Cell, DIRECT_CHUNKED, NGINX, SPOOLED } from "./cells.js";
import type { ResultsBySize } from "./rounds.js";

/** An upload through the proxy that announces its size, compared with the baseline. */
const MOST_TIME = 1.15;
const MOST_MEMORY = 1.1;
/** What is no slower may be measured that much slower. */
const NOISE = 1.05;

export function judge(results: ResultsBySize): Expectation[] {
  const time = compare(results, ANNOUNCED, BASELINE, "seconds");
  const memory = compare(results, ANNOUNCED, BASELINE, "glanceBytes");
  const spool = compare(results, SPOOLED, NGINX, "seconds");
  const gain = compare(results, DIRECT_CHUNKED, ANNOUNCED, "seconds");
  return [
    {
      text: `An upload through the proxy, with its size in a header, takes at most ${MOST_TIME} times as long as a direct one with \`Content-Length\``,
      found: list(time),
      holds: time.every(({ ratio }) => ratio <= MOST_TIME),
    },
    {
      text: `Glance needs at most ${MOST_MEMORY} times the memory for such an upload`,
      found: list(memory),
      holds: memory.every(({ ratio }) => ratio <= MOST_MEMORY),
    },
    {
      text: `The proxy's spooling takes at most ${NOISE} times as long as nginx's buffering`,
      found: list(spool),
      holds: spool.length === 0 ? undefined : spool.every(({ ratio }) => ratio <= NOISE),
    },
    {
      text: "The speed-up over a direct chunked upload grows with the size of the image",
      found: list(gain),
      holds:
        gain.length < 2 ? undefined : gain.every(({ ratio }, index) => ratio > (gain[index - 1]?.ratio ?? 0)),
    },
  ];
}

interface Comparison {
  readonly size: number;
  readonly ratio: number;
}

/** One for each size at which both were measured. */
function compare(
  results: ResultsBySize,
  one: Cell,
  other: Cell,
  figure: "seconds" | "glanceBytes",
): Comparison[] {
  return [...results].flatMap(([size, cells]) => {
    const [left, right] = [cells.get(one), cells.get(other)];
    return left && right ? [{ size, ratio: left[figure] / right[figure] }] : [];
  });
}

function list(comparisons: readonly Comparison[]): string {
  if (comparisons.length === 0) return "not measured";
  return comparisons.map(({ size, ratio }) => `${printRatio(ratio)} at ${printSize(size)}`).join(", ");
}
