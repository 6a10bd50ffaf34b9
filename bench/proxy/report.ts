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

const CONFIGURED =
  "nginx sends bodies on as they come (`proxy_request_buffering off`) unless the upload is spooled. With 1 MiB buffers it has " +
  "`client_body_buffer_size 1m`, and for answers `proxy_buffering off` and `proxy_buffer_size 1m`. HAProxy with splice has " +
  "`option splice-request` and `option splice-response`. The C relays are no HTTP proxies: they pass bytes on and look at none, " +
  "and show how much of the cost is the kernel's.";

export function report({ conditions, peers, measured, expectations }: Page): string {
  const measuredPeers = peers.filter(({ version }) => version !== undefined);
  const missing = peers.filter(({ version }) => version === undefined).map(({ name }) => name);
  return [
    "# Beside other proxies",
    conditions,
    measuredPeers.map(({ name, version }) => `${name} ${version}`).join("; ") + ".",
    ...(missing.length > 0 ? [`Not installed: ${missing.join("; ")}.`] : []),
    CONFIGURED,
    ...measured.flatMap((one) => [`## ${one.workload.name}`, table(one), ...failures(one)]),
    "## What is expected",
    expectationList(expectations),
  ].join("\n\n");
}

function table({ workload: { load, spooled }, figures, direct }: Measured): string {
  const ours = figures.get(OURS);
  const ratio = (one: Figures): string => (ours ? (ours.cpuSeconds / one.cpuSeconds).toFixed(2) : "");
  const rows = (columns: Readonly<Record<string, (one: Figures) => string>>): string => {
    const cells = Object.values(columns);
    return markdownTable([
      ["", ...Object.keys(columns)],
      ...[...figures].map(([name, one]) => [name, ...cells.map((cell) => cell(one))]),
    ]);
  };
  const peak = { "peak MiB": (one: Figures) => (Number.isNaN(one.peakMiB) ? "" : one.peakMiB.toFixed(0)) };
  const cpu = { "our CPU / its": ratio };
  switch (load.kind) {
    case "hold":
      return rows(peak);
    case "stream":
      return rows({
        "CPU s/GiB": (one) => (one.cpuSeconds / gibOf(load)).toFixed(3),
        "MiB/s": (one) => ((gibOf(load) * 1024) / one.seconds).toFixed(0),
        ...(spooled ? { seconds: (one: Figures) => one.seconds.toFixed(2) } : {}),
        ...peak,
        ...cpu,
      });
    case "requests":
      return rows({
        "CPU us/request": (one) => ((one.cpuSeconds / countOf(one)) * 1e6).toFixed(0),
        "requests/s": (one) => (countOf(one) / one.seconds).toFixed(0),
        "added ms, p50": (one) => milliseconds(one.p50, direct?.p50),
        "added ms, p99": (one) => milliseconds(one.p99, direct?.p99),
        ...peak,
        ...cpu,
      });
    case "tail":
      return rows({
        "requests/s": (one) => (countOf(one) / one.seconds).toFixed(0),
        "ms, p50": (one) => milliseconds(one.p50),
        "ms, p99": (one) => milliseconds(one.p99),
        ...peak,
      });
  }
}

function countOf({ count = Number.NaN }: Figures): number {
  return count;
}

function milliseconds(seconds = Number.NaN, without = 0): string {
  return ((seconds - without) * 1e3).toFixed(2);
}

function failures({ figures }: Measured): string[] {
  return [...figures].flatMap(([name, one]) =>
    one.failures > 0 ? [`${name}: ${one.failures} failed.`] : [],
  );
}
