/**
 * npm run bench [-- --mib N] [--rounds N] [--output FILE]: this proxy beside its peers, in one run.
 *
 * `--mib`: bytes of each upload workload, 4096 by default; the others shrink with it. `--rounds`: 5. `--output`: bench/RESULTS.md.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { parseArgs } from "node:util";
import { format, resolveConfig } from "prettier";
import { cpuSeconds, forgetPeak, peakMiB } from "./cost.js";
import { findPeers, ours, OURS, type Peer, type Running } from "./peers.js";
import { median, report, targets, type Figures, type Measured } from "./report.js";
import { compileTraffic } from "./traffic.js";
import { scaling, workloads, type Workload } from "./workloads.js";

const DIRECT = "direct";

const { values } = parseArgs({
  options: {
    mib: { type: "string", default: "4096" },
    rounds: { type: "string", default: "5" },
    output: { type: "string", default: "bench/RESULTS.md" },
  },
});
const mib = wholeNumber("mib");
const rounds = wholeNumber("rounds");
const directory = mkdtempSync(join(tmpdir(), "bench-proxy-"));
const traffic = compileTraffic(directory);
const { peers, missing } = findPeers({});
for (const name of missing) console.log(`not installed: ${name}`);

try {
  const measured = await measureAll(peers, workloads(mib), rounds);
  const scaled = [
    ...(await measureAll([ours(OURS, {})], scaling(mib), Math.min(rounds, 3))),
    ...(await measureWorkers()),
  ];
  const date = new Date().toISOString().slice(0, 10);
  const page = report({ date, rounds, peers, missing, measured, scaling: scaled });
  const aims = targets(measured);
  const text = `${page}\n## Targets\n\n${aims.map((line) => `- ${line}`).join("\n")}\n`;
  const style = await resolveConfig("bench/RESULTS.md");
  writeFileSync(values.output, await format(text, { ...style, parser: "markdown" }));
  console.log(aims.join("\n"));
} finally {
  rmSync(directory, { recursive: true, force: true });
}

function wholeNumber(name: "mib" | "rounds"): number {
  const value = Number(values[name]);
  if (Number.isSafeInteger(value) && value > 0) return value;
  console.error(`--${name}: ${JSON.stringify(values[name])}: takes a whole number, at least 1`);
  process.exit(2);
}

/** Two workers against one, with streams enough for both. */
async function measureWorkers(): Promise<Measured[]> {
  const load = { kind: "stream", framing: "length", mib: Math.ceil(mib / 8), streams: 8 } as const;
  const two = ours("2 workers", { GLANCE_SIZE_PROXY_WORKERS: "2" });
  return measureAll(
    [ours("1 worker", {}), two],
    [{ name: `8 x ${load.mib} MiB`, load }],
    Math.min(rounds, 3),
  );
}

/** Round after round, in each one peer after another, in each one workload after another: what disturbs one disturbs all. */
async function measureAll(
  proxies: readonly Peer[],
  loads: readonly Workload[],
  times: number,
): Promise<Measured[]> {
  const taken = new Map(loads.map((workload) => [workload, new Map<string, Figures[]>()]));
  for (let round = 1; round <= times; round += 1) {
    for (const workload of loads) {
      const byPeer = taken.get(workload);
      const add = (name: string, figures: Figures): void => {
        byPeer?.set(name, [...(byPeer.get(name) ?? []), figures]);
        console.log(`${round}/${times} ${workload.name}: ${name} ${JSON.stringify(figures)}`);
      };
      if (workload.load.kind === "requests") {
        const sink = await traffic.startSink();
        const carried = await traffic.run(sink.port, workload.load);
        add(DIRECT, { ...carried, cpuSeconds: 0, peakMiB: 0 });
        sink.child.kill();
      }
      for (const peer of proxies) {
        // Its own: stalled uploads would lie in the old one, and make the kernel sparing with memory for all that come.
        const sink = await traffic.startSink();
        const running = await peer.start(directory, sink.port);
        try {
          add(peer.name, await measure(running, workload));
        } finally {
          running.child.kill("SIGKILL"); // it would let the stalled uploads finish
          await once(running.child, "exit");
          sink.child.kill();
        }
      }
    }
  }
  return [...taken].map(([workload, byPeer]) => {
    const medians = new Map([...byPeer].map(([name, figures]) => [name, median(figures)]));
    const direct = medians.get(DIRECT);
    medians.delete(DIRECT);
    return { workload, figures: medians, direct };
  });
}

async function measure({ pid, port }: Running, { load }: Workload): Promise<Figures> {
  // Once before it counts: what is compiled and allocated at first is not what a byte costs.
  if (load.kind === "stream") await traffic.run(port, { ...load, mib: Math.min(load.mib, 64), streams: 1 });
  if (load.kind === "requests") await traffic.run(port, { ...load, count: Math.ceil(load.count / 4) });
  forgetPeak(pid);
  const before = cpuSeconds(pid);
  const carried = await traffic.run(port, load);
  return { ...carried, cpuSeconds: cpuSeconds(pid) - before, peakMiB: peakMiB(pid) };
}
