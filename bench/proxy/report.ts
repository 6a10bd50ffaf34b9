/** The measurements as a page. Pure. */
import { type Expectation, expectationList } from "../expectation.js";
import { markdownTable } from "../table.js";
import { OURS, type Peer } from "./peers.js";
import type { Figures, Measured } from "./rounds.js";
import { gibOf } from "./workloads.js";

export interface Page {
  /** When, where and how it was measured: sentences. */
  readonly conditions: string;
  /** Those that are not installed, too. */
  readonly peers: readonly Peer[];
  readonly measured: readonly Measured[];
  readonly expectations: readonly Expectation[];
}

export function report({ conditions, peers, measured, expectations }: Page): string {
  const measuredPeers = peers.filter(({ version }) => version !== undefined);
  const missing = peers.filter(({ version }) => version === undefined).map(({ name }) => name);
  return [
    "# Beside the C proxies",
    conditions,
    measuredPeers.map(({ name, version }) => `${name} ${version}`).join("; ") + ".",
    ...(missing.length > 0 ? [`Not installed: ${missing.join("; ")}.`] : []),
    ...measured.flatMap((one) => [`## ${one.workload.name}`, table(one), ...failures(one)]),
    "## What is expected",
    expectationList(expectations),
  ].join("\n\n");
}

function table({ workload: { load }, figures, direct }: Measured): string {
  const ours = figures.get(OURS);
  const ratio = (one: Figures): string => (ours ? (ours.cpuSeconds / one.cpuSeconds).toFixed(2) : "");
  const rows = (cells: (one: Figures) => string[]): string[][] =>
    [...figures].map(([name, one]) => [name, ...cells(one)]);
  switch (load.kind) {
    case "stall":
      return markdownTable([["", "peak MiB"], ...rows((one) => [one.peakMiB.toFixed(0)])]);
    case "stream":
      return markdownTable([
        ["", "CPU s/GiB", "MiB/s", "peak MiB", "our CPU / its"],
        ...rows((one) => [
          (one.cpuSeconds / gibOf(load)).toFixed(3),
          ((gibOf(load) * 1024) / one.seconds).toFixed(0),
          one.peakMiB.toFixed(0),
          ratio(one),
        ]),
      ]);
    case "requests": {
      const added = (one: Figures, which: "p50" | "p99"): string =>
        (((one[which] ?? Number.NaN) - (direct?.[which] ?? Number.NaN)) * 1e3).toFixed(2);
      return markdownTable([
        ["", "CPU us/request", "requests/s", "added ms, p50", "added ms, p99", "peak MiB", "our CPU / its"],
        ...rows((one) => [
          ((one.cpuSeconds / load.count) * 1e6).toFixed(0),
          (load.count / one.seconds).toFixed(0),
          added(one, "p50"),
          added(one, "p99"),
          one.peakMiB.toFixed(0),
          ratio(one),
        ]),
      ]);
    }
  }
}

function failures({ figures }: Measured): string[] {
  return [...figures].flatMap(([name, one]) =>
    one.failures > 0 ? [`${name}: ${one.failures} failed.`] : [],
  );
}
