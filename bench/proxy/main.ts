/**
 * `npm run bench`: this proxy beside its peers, in one run. Exit code 0 where it has measured, whatever it found, and 2
 * where it could not.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { commandLine, readNumber, runMain } from "../arguments.js";
import { expectationList } from "../expectation.js";
import { describeMachine } from "../machine.js";
import { writePage } from "../markdown.js";
import { judge } from "./expectations.js";
import { findPeers, NGINX_1M, OURS, ours } from "./peers.js";
import { report } from "./report.js";
import { measureAll, WARMED_UP } from "./rounds.js";
import { compileTraffic } from "./traffic.js";
import { scaling, severalWorkers, workloads } from "./workloads.js";

const COMMAND = "npm run bench";
const USAGE = `${COMMAND} [-- OPTIONS]

  --mib N        bytes of each workload of uploads, in MiB; the others shrink with it (4096)
  --rounds N     in so many rounds (5)
  --output FILE  where the page is written (bench/RESULTS.md)
`;
/** How the cost grows is no close comparison: fewer will do. */
const MOST_SCALING_ROUNDS = 3;

async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      mib: { type: "string", default: "4096" },
      rounds: { type: "string", default: "5" },
      output: { type: "string", default: "bench/RESULTS.md" },
      help: { type: "boolean" },
    },
  });
  if (values.help) return void process.stdout.write(USAGE);
  const mib = readNumber("mib", values.mib);
  const rounds = readNumber("rounds", values.rounds);
  const directory = await mkdtemp(join(tmpdir(), "bench-proxy-"));
  try {
    const traffic = await compileTraffic(directory);
    const peers = await findPeers();
    const installed = peers.filter(({ version }) => version !== undefined);
    const measured = await measureAll(traffic, installed, workloads(mib), rounds);
    const scalingRounds = Math.min(rounds, MOST_SCALING_ROUNDS);
    const growing = installed.filter(({ name }) => name === OURS || name === NGINX_1M);
    const grown = await measureAll(traffic, growing, scaling(mib), scalingRounds);
    const workers = [ours("1 worker"), ours("2 workers", { GLANCE_SIZE_PROXY_WORKERS: "2" })];
    const shared = await measureAll(traffic, workers, [severalWorkers(mib)], scalingRounds);
    const expectations = judge(measured);
    const conditions =
      `Measured on ${new Date().toISOString().slice(0, 10)} by \`${commandLine(COMMAND, args)}\`: ` +
      `Node ${process.versions.node}, ${describeMachine()}, plain HTTP over loopback, one worker each, medians of ${rounds} interleaved rounds. ${WARMED_UP}. ` +
      "Load generator, proxy and sink share the cores: compare figures of one run, as the ratios do.";
    const page = report({ conditions, peers, measured, grown, shared, expectations });
    await writePage(values.output, page);
    console.log(`\n${expectationList(expectations)}`);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

await runMain(main);
