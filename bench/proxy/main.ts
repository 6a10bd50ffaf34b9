/**
 * `npm run bench`: this proxy beside its peers, in one run. Exit code 0 if it has measured, whatever it found, and 2 if it
 * could not.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createAuthority } from "../../test/support/certificates.js";
import { explainMissing } from "../../test/support/provided.js";
import { commandLine, readNumber, runMain } from "../arguments.js";
import { expectationList } from "../expectation.js";
import { describeMachine } from "../machine.js";
import { formatPage, writePage } from "../markdown.js";
import { judge } from "./expectations.js";
import { findPeers } from "./peers.js";
import { report } from "./report.js";
import { measureAll, WARMED_UP } from "./rounds.js";
import { compileTraffic, createTraffic, TRAFFIC_NEEDS } from "./traffic.js";
import { workloads } from "./workloads.js";

const COMMAND = "npm run bench";
const USAGE = `${COMMAND} [-- OPTIONS]

  --mib N          bytes of each workload of large bodies, in MiB; the others shrink with it (4096)
  --rounds N       number of rounds (3)
  --only PATTERN   only workloads whose name matches this regular expression
  --peers PATTERN  only proxies whose name matches this regular expression
  --output FILE    where the page is written (bench/RESULTS.md; with --only or --peers: standard output)
`;

async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      mib: { type: "string", default: "4096" },
      rounds: { type: "string", default: "3" },
      only: { type: "string", default: "" },
      peers: { type: "string", default: "" },
      output: { type: "string" },
      help: { type: "boolean" },
    },
  });
  if (values.help) return void process.stdout.write(USAGE);
  const rounds = readNumber("rounds", values.rounds);
  const chosen = select("only", values.only, workloads(readNumber("mib", values.mib)));
  const missing = explainMissing([...TRAFFIC_NEEDS, "openssl"]);
  if (missing !== undefined) throw new Error(missing);
  const directory = await mkdtemp(join(tmpdir(), "bench-proxy-"));
  const authority = await createAuthority();
  try {
    const program = join(directory, "traffic");
    const peers = select("peers", values.peers, await findPeers(program));
    const installed = peers.filter(({ version }) => version !== undefined);
    await compileTraffic(program);
    const certificate = await authority.issue("127.0.0.1");
    const traffic = createTraffic(program, certificate);
    const ends = { traffic, caFile: authority.certFile, certificate, directory };
    const measured = await measureAll(ends, installed, chosen, rounds);
    const expectations = judge(measured);
    const conditions =
      `Measured on ${new Date().toISOString().slice(0, 10)} by \`${commandLine(COMMAND, args)}\`: ` +
      `Node ${process.versions.node}, ${describeMachine()}, over loopback, one worker each, medians of ${rounds} interleaved rounds. ${WARMED_UP}. ` +
      "TLS is TLS 1.3 with AES-128-GCM. Load generator, proxy and sink share the cores: compare figures of one run, as the ratios do.";
    const page = report({ conditions, peers, measured, expectations });
    const output = values.output ?? (values.only || values.peers ? undefined : "bench/RESULTS.md");
    if (output === undefined) return console.log(`\n${await formatPage(page)}`);
    await writePage(output, page);
    console.log(`\n${expectationList(expectations)}`);
  } finally {
    await authority.remove();
    await rm(directory, { recursive: true, force: true });
  }
}

/** @throws Error if no name matches. */
function select<T extends { readonly name: string }>(
  option: string,
  pattern: string,
  all: readonly T[],
): T[] {
  const matching = all.filter(({ name }) => new RegExp(pattern, "i").test(name));
  if (matching.length > 0) return matching;
  const names = all.map(({ name }) => `  ${name}\n`).join("");
  throw new Error(`--${option}: ${JSON.stringify(pattern)} matches none of these:\n${names}`.trimEnd());
}

await runMain(main);
