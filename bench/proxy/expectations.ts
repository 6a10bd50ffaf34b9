/** How the proxy is expected to do beside its peers, in ratios within one run. Pure. */
import type { Expectation } from "../expectation.js";
import { BARE, HAPROXY, NGINX_1M, OURS } from "./peers.js";
import type { Figures, Measured } from "./rounds.js";
import type { Key, Workload } from "./workloads.js";

interface Target {
  /** Maximum ratio of CPU time to that of each peer. */
  readonly cpu?: Readonly<Record<string, number>>;
  /** Minimum ratio of throughput to that of each peer. */
  readonly speed?: Readonly<Record<string, number>>;
  readonly maxPeakMib?: number;
}

const download: Target = { cpu: { [NGINX_1M]: 1, [BARE]: 0.2 }, speed: { [NGINX_1M]: 1 } };
const upload: Target = { cpu: { [NGINX_1M]: 0.9, [HAPROXY]: 0.6, [BARE]: 0.3 }, speed: { [NGINX_1M]: 1 } };
const smallUpload = (ofNginx: number): Target => ({
  cpu: { [NGINX_1M]: ofNginx, [BARE]: 0.6 },
  speed: { [NGINX_1M]: 0.8 },
});

const TARGETS: Readonly<Partial<Record<Key, Target>>> = {
  download,
  "eight downloads": download,
  upload,
  "declared upload": { cpu: { [NGINX_1M]: 1, [HAPROXY]: 0.6, [BARE]: 0.4 }, speed: { [NGINX_1M]: 1 } },
  "eight uploads": upload,
  "1 MiB uploads": smallUpload(1.5),
  "4 MiB uploads": smallUpload(1.3),
  "16 MiB uploads": smallUpload(1.1),
  "64 MiB uploads": smallUpload(1),
  "1 KiB uploads": { speed: { [BARE]: 1 } },
  "small GETs": { speed: { [BARE]: 1 } },
  "stalled uploads": { maxPeakMib: 200 },
};

const TLS: Target = { cpu: { [NGINX_1M]: 1.3 }, speed: { [NGINX_1M]: 0.8 } };

function targetOf({ key, client, glance }: Workload): Target {
  return TARGETS[key] ?? (client === "tls" || glance === "tls" ? TLS : {});
}

export function judge(measured: readonly Measured[]): Expectation[] {
  return measured.flatMap(({ workload, figures }) => {
    const { name, load } = workload;
    const { cpu = {}, speed = {}, maxPeakMib } = targetOf(workload);
    const ours = figures.get(OURS);
    const ratio = (peer: string, of: (ours: Figures, its: Figures) => number): number | undefined => {
      const its = figures.get(peer);
      return ours && its && of(ours, its);
    };
    const unit = load.kind === "requests" ? "requests/s" : "MiB/s";
    return [
      ...Object.entries(cpu).map(([peer, most]) =>
        atMost(
          `${name}: CPU, of that of ${peer}`,
          ratio(peer, (mine, its) => mine.cpuSeconds / its.cpuSeconds),
          most,
        ),
      ),
      ...Object.entries(speed).map(([peer, least]) =>
        atLeast(
          `${name}: ${unit}, of those of ${peer}`,
          ratio(peer, (mine, its) => its.seconds / mine.seconds),
          least,
        ),
      ),
      ...(maxPeakMib === undefined ? [] : [atMost(`${name}: peak MiB`, ours?.peakMiB, maxPeakMib)]),
    ];
  });
}

function atMost(what: string, found: number | undefined, limit: number): Expectation {
  return expectation(`${what}, at most ${limit}`, found, (value) => value <= limit);
}

function atLeast(what: string, found: number | undefined, limit: number): Expectation {
  return expectation(`${what}, at least ${limit}`, found, (value) => value >= limit);
}

function expectation(text: string, value: number | undefined, good: (value: number) => boolean): Expectation {
  return value === undefined
    ? { text, found: "not measured", holds: undefined }
    : { text, found: value.toFixed(2), holds: good(value) };
}
