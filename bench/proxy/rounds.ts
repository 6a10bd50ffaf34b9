/** Round after round, in each one workload after another, in each one peer after another: what disturbs one disturbs all. */
import { execFile } from "node:child_process";
import { truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Certificate } from "../../test/support/certificates.js";
import { familyCpuSeconds, familyPeakBytes, restartFamilyPeak } from "../process.js";
import type { Peer } from "./peers.js";
import type { Running } from "./site.js";
import type { Carried, Traffic } from "./traffic.js";
import { gibOf, type Load, type Workload } from "./workloads.js";

const MIB = 2 ** 20;
const PATH = "/usr/bin:/bin";

export interface Figures extends Carried {
  readonly cpuSeconds: number;
  readonly peakMiB: number;
}

/** What all measurements share. */
export interface Ends {
  readonly traffic: Traffic;
  /** CA bundle that verifies the certificate. */
  readonly caFile: string;
  /** Of every proxy and of Glance. */
  readonly certificate: Certificate;
  /** Where spooled uploads are stored. */
  readonly directory: string;
}

export interface Measured {
  readonly workload: Workload;
  /** Medians over the rounds, by peer. */
  readonly figures: ReadonlyMap<string, Figures>;
  /** Without a proxy; for the added latency. */
  readonly direct: Figures | undefined;
}

const DIRECT = "direct";
/** Rows beside an upload with a digest: the same upload without one, and programs that hash the same bytes. */
export const WITHOUT_DIGEST = "this proxy, without a digest";
export const HASHERS = { sha256sum: "sha256sum", "openssl dgst": "openssl dgst -sha256" } as const;

export async function measureAll(
  ends: Ends,
  peers: readonly Peer[],
  workloads: readonly Workload[],
  rounds: number,
): Promise<Measured[]> {
  const served = workloads.filter((workload) => peers.some((peer) => peer.serves(workload)));
  const taken = new Map(served.map((workload) => [workload, new Map<string, Figures[]>()]));
  for (let round = 1; round <= rounds; round += 1) {
    for (const [workload, byPeer] of taken) {
      const add = (name: string, figures: Figures): void => {
        byPeer.set(name, [...(byPeer.get(name) ?? []), figures]);
        console.log(`${round}/${rounds} ${workload.name}: ${name} ${JSON.stringify(figures)}`);
      };
      if (workload.load.kind === "requests") add(DIRECT, await measureDirect(ends, workload));
      for (const peer of peers) {
        if (!peer.serves(workload)) continue;
        add(peer.name, await measure(ends, peer, workload));
        if (workload.load.kind !== "stream" || workload.load.body !== "digest") continue;
        const without = { ...workload, load: { ...workload.load, body: "length" } } as const;
        add(WITHOUT_DIGEST, await measure(ends, peer, without));
        for (const [name, command] of Object.entries(HASHERS))
          add(name, await measureHash(ends, command, workload.load.mib));
      }
    }
  }
  return [...taken].map(([workload, byPeer]) => {
    const figures = new Map([...byPeer].map(([name, all]) => [name, median(all)]));
    const direct = figures.get(DIRECT);
    figures.delete(DIRECT);
    return { workload, figures, direct };
  });
}

async function measureDirect({ traffic }: Ends, { load }: Workload): Promise<Figures> {
  const sink = await traffic.startSink("tcp");
  try {
    return { ...(await traffic.run(new URL(sink.url).port, load)), cpuSeconds: 0, peakMiB: 0 };
  } finally {
    sink.stop();
  }
}

/** Hashes a file with the bytes of the upload. */
async function measureHash({ directory }: Ends, command: string, mib: number): Promise<Figures> {
  const file = join(directory, "hashed");
  await writeFile(file, "");
  await truncate(file, mib * MIB);
  const script = `TIMEFORMAT="%R %U %S"; time ${command} "$0" >/dev/null`;
  const { stderr } = await promisify(execFile)("bash", ["--norc", "-c", script, file], { env: { PATH } });
  const [seconds = Number.NaN, user = Number.NaN, system = Number.NaN] = stderr.trim().split(" ").map(Number);
  return { seconds, cpuSeconds: user + system, peakMiB: Number.NaN, failures: 0 };
}

async function measure(
  { traffic, ...files }: Ends,
  peer: Peer,
  { load, client = "tcp", glance = "tcp", spooled = false }: Workload,
): Promise<Figures> {
  // Its own: stalled uploads would lie in the old one, and make the kernel sparing with memory for all that come.
  const sink = await traffic.startSink(glance);
  let proxy: Running | undefined;
  try {
    proxy = await peer.start({
      upstreamUrl: sink.url,
      caFile: files.caFile,
      clientTls: client === "tls" ? files.certificate : undefined,
      spoolDir: spooled ? files.directory : undefined,
    });
    const address = client === "tls" ? `tls:${proxy.port}` : `${proxy.port}`;
    await warmUp(traffic, address, load);
    await restartFamilyPeak(proxy.pid);
    const before = await familyCpuSeconds(proxy.pid);
    const carried = await traffic.run(address, load);
    const cpuSeconds = (await familyCpuSeconds(proxy.pid)) - before;
    return { ...carried, cpuSeconds, peakMiB: (await familyPeakBytes(proxy.pid)) / MIB };
  } finally {
    await proxy?.stop();
    sink.stop();
  }
}

/** V8 compiles what has run a thousand times or more. */
const WARM_UP = { mostMib: 1024, bodyMib: 8, bodies: 2000, tailShare: 0.25 };
export const WARMED_UP =
  `Each has first carried as many bytes as were measured, up to ${WARM_UP.mostMib / 1024} GiB: bodies that follow one another after ` +
  `${WARM_UP.bodies} bodies of 1 MiB, others as bodies of ${WARM_UP.bodyMib} MiB at once. Of small requests it was as many as were ` +
  "measured, beside other load a quarter; where connections are held, nothing";

/** A proxy runs for weeks: what is compiled and allocated at first is not what a byte costs. */
async function warmUp(traffic: Traffic, address: string, load: Load): Promise<void> {
  switch (load.kind) {
    case "stream": {
      const mib = Math.min(gibOf(load) * 1024, WARM_UP.mostMib);
      if (load.each === 1) {
        const streams = Math.ceil(mib / WARM_UP.bodyMib);
        await traffic.run(address, { ...load, mib: WARM_UP.bodyMib, streams });
        return;
      }
      await traffic.run(address, { ...load, mib: 1, each: Math.ceil(WARM_UP.bodies / load.streams) });
      await traffic.run(address, { ...load, each: Math.ceil(mib / load.mib / load.streams) });
      return;
    }
    case "requests":
      await traffic.run(address, load);
      return;
    case "tail":
      await traffic.run(address, { ...load, seconds: load.seconds * WARM_UP.tailShare });
      return;
    case "hold":
  }
}

function median(rounds: readonly Figures[]): Figures {
  const of = (pick: (one: Figures) => number | undefined): number => {
    const sorted = rounds.map((one) => pick(one) ?? Number.NaN).sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  };
  return {
    seconds: of((one) => one.seconds),
    cpuSeconds: of((one) => one.cpuSeconds),
    peakMiB: of((one) => one.peakMiB),
    failures: rounds.reduce((sum, one) => sum + one.failures, 0),
    count: of((one) => one.count),
    p50: of((one) => one.p50),
    p99: of((one) => one.p99),
  };
}
