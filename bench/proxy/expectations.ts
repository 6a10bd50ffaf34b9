/** How the proxy is expected to do beside its peers, in ratios within one run. Pure. */
import type { Expectation } from "../expectation.js";
import { BARE, HAPROXY, NGINX_1M, OURS } from "./peers.js";
import { type Figures, type HASHERS, type Measured, WITHOUT_DIGEST } from "./rounds.js";
import type { Key } from "./workloads.js";

type Limits = Readonly<Record<string, number>>;

interface Target {
  /** Maximum ratio to the figure of each peer: of CPU time, of the time that all takes, or of the 99th percentile. */
  readonly cpu?: Limits;
  readonly time?: Limits;
  readonly p99?: Limits;
  /** Minimum ratio of what is carried in a second. */
  readonly speed?: Limits;
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
  TLS: { cpu: { [NGINX_1M]: 1.3 }, speed: { [NGINX_1M]: 0.8 } },
  "spooled upload": { time: { [NGINX_1M]: 1 } },
  "1 KiB uploads": { speed: { [BARE]: 1 } },
  "small GETs": { speed: { [BARE]: 1 } },
  "GETs beside load": { p99: { [BARE]: 1.5 } },
  "slow readers": { maxPeakMib: 150 },
  "stalled uploads": { maxPeakMib: 200 },
  "idle clients": { maxPeakMib: 120 },
};

export function judge(measured: readonly Measured[]): Expectation[] {
  return measured.flatMap(({ workload: { key, name, load }, figures }) => {
    if (key === "digested upload") return judgeDigest(name, figures);
    const { cpu, time, p99, speed, maxPeakMib } = TARGETS[key] ?? {};
    const ours = figures.get(OURS);
    const ratios = (
      what: string,
      of: (one: Figures) => number,
      limits: Limits = {},
      compare = atMost,
    ): Expectation[] =>
      Object.entries(limits).map(([peer, limit]) => {
        const its = figures.get(peer);
        return compare(`${name}: ${what} relative to ${peer}`, ours && its && of(ours) / of(its), limit);
      });
    const unit = load.kind === "requests" ? "requests/s" : "MiB/s";
    const all = [
      ...ratios("CPU time", (one) => one.cpuSeconds, cpu),
      ...ratios("time", (one) => one.seconds, time),
      ...ratios("p99", (one) => one.p99 ?? Number.NaN, p99),
      ...ratios(unit, (one) => 1 / one.seconds, speed, atLeast),
      ...(maxPeakMib === undefined ? [] : [atMost(`${name}: peak MiB`, ours?.peakMiB, maxPeakMib)]),
    ];
    // What fails may be cheap.
    return ours?.failures
      ? all.map(({ text }) => ({ text, found: `${ours.failures} failed`, holds: false }))
      : all;
  });
}

/** A digest may add what hashing the same bytes takes. */
function judgeDigest(name: string, figures: Measured["figures"]): Expectation[] {
  const [ours, without] = [figures.get(OURS), figures.get(WITHOUT_DIGEST)];
  const added = ours && without && ours.cpuSeconds - without.cpuSeconds;
  const limits: Record<keyof typeof HASHERS, number> = { sha256sum: 1, "openssl dgst": 1.3 };
  return Object.entries(limits).map(([hasher, limit]) => {
    const its = figures.get(hasher)?.cpuSeconds;
    const text = `${name}: CPU time that the digest adds, relative to ${hasher}`;
    return atMost(text, added !== undefined && its !== undefined ? added / its : undefined, limit);
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
