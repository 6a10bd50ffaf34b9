/** The plot of the last minutes. The only file that imports uPlot. */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { formatClock, formatRate } from "./format.js";
import type { Throughput as Data } from "./view-model.js";
import "uplot/dist/uPlot.min.css";

const HEIGHT_PX = 180;
/** Distances between grid lines, bytes per second: powers of two are round numbers in binary units. */
const GRID_STEPS = Array.from({ length: 50 }, (_, power) => 2 ** power);
const MIN_SPAN_SECONDS = 60;
/** Minimum height of the plot, bytes per second: a rate near 0 must not fill the plot. */
const MIN_RANGE = 1024 * 1024;

export function Throughput({ throughput }: { throughput: Data }) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);

  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const drawn = new uPlot(options(element), undefined, element);
    plot.current = drawn;
    const resized = new ResizeObserver(() =>
      drawn.setSize({ width: element.clientWidth, height: HEIGHT_PX }),
    );
    resized.observe(element);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const recolour = (): void => drawn.redraw(false, true);
    dark.addEventListener("change", recolour);
    return () => {
      dark.removeEventListener("change", recolour);
      resized.disconnect();
      drawn.destroy();
    };
  }, []);

  useEffect(() => {
    // uPlot does not write to the arrays, but its type has no readonly form.
    plot.current?.setData([
      throughput.at,
      throughput.received,
      throughput.forwarded,
    ] as unknown as uPlot.AlignedData);
  }, [throughput]);

  const [received, forwarded] = [throughput.received, throughput.forwarded].map((rates) => rates.at(-1) ?? 0);
  return (
    <figure class="throughput">
      <figcaption>
        <h2>Throughput</h2>
        <span class="key is-received">from clients</span>
        <span class="key is-forwarded">to Glance</span>
      </figcaption>
      <div
        ref={host}
        role="img"
        aria-label={`Throughput plot. Now: ${formatRate(received ?? 0)} from clients, ${formatRate(forwarded ?? 0)} to Glance`}
      />
    </figure>
  );
}

function options(element: HTMLElement): uPlot.Options {
  const colour = (name: string) => () => getComputedStyle(element).getPropertyValue(`--${name}`);
  const axis = { stroke: colour("muted"), font: "12px system-ui, sans-serif", ticks: { show: false } };
  const grid = { stroke: colour("line"), width: 1 };
  return {
    width: element.clientWidth,
    height: HEIGHT_PX,
    legend: { show: false },
    cursor: { show: false },
    padding: [8, 18, 0, 0],
    scales: {
      x: { range: (_plot, first, last) => [Math.min(first, last - MIN_SPAN_SECONDS), last] },
      y: { range: (_plot, _min, max) => [0, Math.max(max * 1.1, MIN_RANGE)] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 28,
        space: 90,
        incrs: [15, 30, 60, 120, 300],
        values: (_plot, at) => at.map((second) => formatClock(second * 1000)),
      },
      {
        ...axis,
        grid,
        size: 84,
        space: 36,
        incrs: GRID_STEPS,
        values: (_plot, rates) => rates.map(formatRate),
      },
    ],
    series: [
      {},
      { stroke: colour("received"), fill: colour("received-soft"), width: 1, points: { show: false } },
      { stroke: colour("forwarded"), width: 2, points: { show: false } },
    ],
  };
}
