/** Every cell, in rounds, so that what else happens on the machine meets them all. */
import { type Cell, CELLS } from "./cells.js";
import { measure, type Measured } from "./measure.js";
import { startScene } from "./scene.js";

const MIB = 2 ** 20;
/** Beyond it, an upload whose size Glance does not learn takes minutes. */
const ONCE_ABOVE_BYTES = 512 * MIB;

/** Of all runs that of the median time: a machine may be faster in one round, and slower in the next. Of all peaks the highest. */
export interface Figures extends Measured {
  readonly runs: readonly Measured[];
}

/** Without the cells whose way is not installed. */
export type Results = ReadonlyMap<Cell, Figures>;
/** The smallest first. */
export type ResultsBySize = ReadonlyMap<number, Results>;

export async function measureAll(
  sizeBytes: number,
  rounds: number,
  onMeasured: (cell: Cell, measured: Measured) => void,
): Promise<Results> {
  // A new one for each size: what Glance keeps of earlier uploads would count as memory of the next.
  const scene = await startScene();
  const measured = new Map<Cell, Measured[]>();
  try {
    // What is loaded, compiled or connected once is so before anything is measured.
    for (const cell of CELLS) await measure(scene, cell, MIB);
    for (let round = 0; round < rounds; round += 1) {
      for (const cell of CELLS) {
        if (round > 0 && !cell.sized && sizeBytes > ONCE_ABOVE_BYTES) continue;
        const one = await measure(scene, cell, sizeBytes);
        if (one === undefined) continue;
        measured.set(cell, [...(measured.get(cell) ?? []), one]);
        onMeasured(cell, one);
      }
    }
  } finally {
    await scene.stop();
  }
  return new Map([...measured].map(([cell, all]) => [cell, summarise(all)]));
}

function summarise(runs: readonly Measured[]): Figures {
  const highest = (of: (run: Measured) => number | undefined): number =>
    Math.max(...runs.map((run) => of(run) ?? 0));
  const median = runs.toSorted((a, b) => a.seconds - b.seconds)[Math.floor(runs.length / 2)];
  if (!median) throw new Error("nothing was measured");
  return {
    ...median,
    runs,
    glanceBytes: highest((run) => run.glanceBytes),
    proxy: median.proxy && {
      memoryBytes: highest(({ proxy }) => proxy?.memoryBytes),
      diskBytes: highest(({ proxy }) => proxy?.diskBytes),
    },
  };
}
