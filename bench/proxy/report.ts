/** The measurements as a page. */
import { cpus } from "node:os";
import { BARE, HAPROXY, NGINX_1M, OURS, type Peer } from "./peers.js";
import { gibOf, type Workload } from "./workloads.js";

export interface Figures {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakMiB: number;
  readonly failures: number;
  readonly p50?: number | undefined;
  readonly p99?: number | undefined;
}

export interface Measured {
  readonly workload: Workload;
  /** Medians over the rounds, by peer. */
  readonly figures: ReadonlyMap<string, Figures>;
  /** Without a proxy; for the added latency. */
  readonly direct: Figures | undefined;
}

export function median(rounds: readonly Figures[]): Figures {
  const of = (pick: (one: Figures) => number | undefined): number => {
    const sorted = rounds.map((one) => pick(one) ?? Number.NaN).sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  };
  return {
    seconds: of((one) => one.seconds),
    cpuSeconds: of((one) => one.cpuSeconds),
    peakMiB: of((one) => one.peakMiB),
    failures: rounds.reduce((sum, one) => sum + one.failures, 0),
    p50: of((one) => one.p50),
    p99: of((one) => one.p99),
  };
}

export interface Page {
  readonly date: string;
  readonly rounds: number;
  readonly peers: readonly Peer[];
  readonly missing: readonly string[];
  readonly measured: readonly Measured[];
  readonly scaling: readonly Measured[];
}

export function report({ date, rounds, peers, missing, measured, scaling }: Page): string {
  return [
    "# Beside the C proxies",
    "",
    `Written by \`npm run bench\` on ${date}: Node ${process.version.slice(1)}, ${cpus().length} cores (${cpus()[0]?.model ?? "unknown"}), ` +
      `plain HTTP over loopback, one worker each, medians of ${rounds} interleaved rounds. Load generator, proxy and sink share the ` +
      "cores: compare figures of one run, as the ratios do.",
    "",
    `${peers.map(({ name, version }) => `${name} ${version}`).join(", ")}.${missing.length > 0 ? ` Not installed: ${missing.join(", ")}.` : ""}`,
    ...measured.flatMap((one) => ["", `## ${one.workload.name}`, "", ...table(one)]),
    "",
    "## How the cost of this proxy grows",
    "",
    "| Content-Length | CPU s/GiB | MiB/s | peak MiB |",
    "| --- | --- | --- | --- |",
    ...scaling.flatMap(({ workload, figures }) =>
      [...figures].map(([name, one]) => {
        const gib = gibOf(workload.load) ?? Number.NaN;
        return `| ${workload.name}${name === OURS ? "" : `, ${name}`} | ${(one.cpuSeconds / gib).toFixed(2)} | ${((gib * 1024) / one.seconds).toFixed(0)} | ${one.peakMiB.toFixed(0)} |`;
      }),
    ),
    "",
  ].join("\n");
}

function table({ workload: { load }, figures, direct }: Measured): string[] {
  const gib = gibOf(load);
  const ours = figures.get(OURS);
  const failed = [...figures].filter(([, { failures }]) => failures > 0);
  const failures = failed.map(([name, one]) => ["", `${name}: ${one.failures} failed.`]).flat();
  if (load.kind === "stall") {
    return [
      "| | peak MiB |",
      "| --- | --- |",
      ...[...figures].map(([name, one]) => `| ${name} | ${one.peakMiB.toFixed(0)} |`),
      ...failures,
    ];
  }
  const ratio = (one: Figures): string => (ours ? (ours.cpuSeconds / one.cpuSeconds).toFixed(2) : "");
  if (load.kind === "stream" && gib !== undefined) {
    return [
      "| | CPU s/GiB | MiB/s | peak MiB | our CPU / its |",
      "| --- | --- | --- | --- | --- |",
      ...[...figures].map(
        ([name, one]) =>
          `| ${name} | ${(one.cpuSeconds / gib).toFixed(2)} | ${((gib * 1024) / one.seconds).toFixed(0)} | ${one.peakMiB.toFixed(0)} | ${ratio(one)} |`,
      ),
      ...failures,
    ];
  }
  if (load.kind !== "requests") return [];
  const added = (mine: number | undefined, without: number | undefined): string =>
    mine === undefined || without === undefined ? "" : `${((mine - without) * 1e3).toFixed(2)}`;
  return [
    "| | CPU us/request | requests/s | added ms, p50 | added ms, p99 | peak MiB | our CPU / its |",
    "| --- | --- | --- | --- | --- | --- | --- |",
    ...[...figures].map(
      ([name, one]) =>
        `| ${name} | ${((one.cpuSeconds / load.count) * 1e6).toFixed(0)} | ${(load.count / one.seconds).toFixed(0)} | ` +
        `${added(one.p50, direct?.p50)} | ${added(one.p99, direct?.p99)} | ${one.peakMiB.toFixed(0)} | ${ratio(one)} |`,
    ),
    ...failures,
  ];
}

/** What is aimed at, in ratios within one run. @returns a line each. */
export function targets(measured: readonly Measured[]): string[] {
  const lines: string[] = [];
  const check = (what: string, value: number | undefined, limit: number, atMost: boolean): void => {
    if (value === undefined || Number.isNaN(value)) return void lines.push(`${what}: not measured`);
    const met = atMost ? value <= limit : value >= limit;
    lines.push(
      `${what}: ${value.toFixed(2)}, ${atMost ? "at most" : "at least"} ${limit}: ${met ? "met" : "NOT MET"}`,
    );
  };
  for (const { workload, figures } of measured) {
    const { load, name } = workload;
    const ours = figures.get(OURS);
    const cpu = (peer: string): number | undefined => {
      const other = figures.get(peer);
      return ours && other && ours.cpuSeconds / other.cpuSeconds;
    };
    const rate = (peer: string): number | undefined => {
      const other = figures.get(peer);
      return ours && other && other.seconds / ours.seconds;
    };
    if (load.kind === "stream" && load.framing !== "chunked") {
      check(`${name}: CPU, of ${NGINX_1M}`, cpu(NGINX_1M), 1, true);
      check(`${name}: CPU, of ${HAPROXY}`, cpu(HAPROXY), 0.6, true);
      check(`${name}: CPU, of ${BARE}`, cpu(BARE), 0.4, true);
      check(`${name}: MiB/s, of ${NGINX_1M}`, rate(NGINX_1M), 1, false);
    } else if (load.kind === "requests") {
      check(`${name}: requests/s, of ${BARE}`, rate(BARE), 1, false);
    } else if (load.kind === "stall") {
      check(`${name}: peak MiB`, ours?.peakMiB, 300, true);
    }
  }
  return lines;
}
