/** The figures as text: all of them for the terminal, those that matter for the README. Pure. */
import { printMemory, printRatio, printSeconds, printSize } from "../format.js";
import { markdownTable } from "../table.js";
import { BASELINE, type Cell, CELLS } from "./cells.js";
import type { Figures, Results, ResultsBySize } from "./rounds.js";

const ABSENT = "not installed";

/** Everything that was measured. */
export function fullTable(results: ResultsBySize): string[][] {
  const head = [
    "size",
    "way",
    "body",
    "time",
    "ratio",
    "runs (others' cores)",
    "Glance",
    "ratio",
    "proxy",
    "disk",
  ];
  const rows = [...results].flatMap(([size, cells]) =>
    CELLS.map((cell) => {
      const figures = cells.get(cell);
      const start = [printSize(size), cell.way, cell.body];
      if (!figures) return [...start, ABSENT];
      return [
        ...start,
        printSeconds(figures.seconds),
        ratio(cells, figures, "seconds"),
        figures.runs.map((run) => `${run.seconds.toFixed(2)} (${run.othersCores.toFixed(1)})`).join(" "),
        printMemory(figures.glanceBytes),
        ratio(cells, figures, "glanceBytes"),
        ...(figures.proxy
          ? [printMemory(figures.proxy.memoryBytes), printMemory(figures.proxy.diskBytes)]
          : []),
      ];
    }),
  );
  return [head, ...rows];
}

/** For the README: the times, and the memory at the largest size. */
export function readmeTable(results: ResultsBySize): string {
  const [largest, cells = new Map<Cell, Figures>()] = [...results].at(-1) ?? [0];
  const at = printSize(largest);
  const head = [
    "way",
    "body",
    ...[...results.keys()].map(printSize),
    `Glance's memory, ${at}`,
    `its own memory, disk, ${at}`,
  ];
  const rows = CELLS.map((cell) => {
    const proxy = cells.get(cell)?.proxy;
    return [
      cell.way,
      cell.body,
      ...[...results.values()].map((one) => withRatio(one, cell, "seconds", printSeconds)),
      withRatio(cells, cell, "glanceBytes", printMemory),
      proxy ? `${printMemory(proxy.memoryBytes)}, ${printMemory(proxy.diskBytes)}` : "",
    ];
  });
  return markdownTable([head, ...rows]);
}

type Figure = "seconds" | "glanceBytes";

function withRatio(cells: Results, cell: Cell, figure: Figure, print: (value: number) => string): string {
  const figures = cells.get(cell);
  return figures ? `${print(figures[figure])} (${ratio(cells, figures, figure)})` : ABSENT;
}

function ratio(cells: Results, figures: Figures, figure: Figure): string {
  return printRatio(figures[figure] / (cells.get(BASELINE)?.[figure] ?? Number.NaN));
}
