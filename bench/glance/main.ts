/**
 * `npm run bench:glance`: uploads to a legacy Glance on S3, direct, through the proxy and through nginx. Exit code 0 if
 * every expectation holds, 1 if one does not, 2 if nothing could be measured.
 */
import { parseArgs } from "node:util";
import { sizeBytes } from "../../src/config/values.js";
import { explainMissing, isProvided } from "../../test/support/provided.js";
import { run } from "../../test/support/run.js";
import { commandLine, readNumber, runMain } from "../arguments.js";
import { expectationList } from "../expectation.js";
import { printSeconds, printSize } from "../format.js";
import { describeMachine } from "../machine.js";
import { writeSection } from "../markdown.js";
import { nginxVersion } from "../nginx.js";
import { textTable } from "../table.js";
import { PIECE_BYTES } from "../upload.js";
import { judge } from "./expectations.js";
import { fullTable, readmeTable } from "./report.js";
import { measureAll, type Results } from "./rounds.js";

const COMMAND = "npm run bench:glance";
const USAGE = `${COMMAND} [-- OPTIONS]

Without options: measures every size in five rounds and updates the section in README.md.

  --sizes 64MiB,1GiB  only these sizes (whole MiB)
  --rounds N          number of rounds
  --readme FILE       update the section of this file
`;

async function main(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      sizes: { type: "string", default: "64MiB,256MiB,1GiB" },
      rounds: { type: "string", default: "5" },
      readme: { type: "string" },
      help: { type: "boolean" },
    },
  });
  if (values.help) return void process.stdout.write(USAGE);
  const sizes = readSizes(values.sizes);
  const rounds = readNumber("rounds", values.rounds);
  const readme = args.length === 0 ? "README.md" : values.readme;
  const missing = explainMissing(["glance-api", "boto3"]);
  if (missing !== undefined) throw new Error(missing);
  const withoutNginx = explainMissing(["nginx"]);
  if (withoutNginx !== undefined) process.stderr.write(`nginx is left out, it ${withoutNginx}\n`);

  const results = new Map<number, Results>();
  for (const size of sizes) {
    const cells = await measureAll(size, rounds, ({ way, body }, { seconds }) => {
      process.stderr.write(`${printSize(size)}, ${way}, ${body}: ${printSeconds(seconds)}\n`);
    });
    results.set(size, cells);
  }

  const expectations = judge(results);
  const others = [...results.values()].flatMap((cells) => [...cells.values()].map((one) => one.othersCores));
  const conditions =
    `Measured on ${new Date().toISOString().slice(0, 10)} by \`${commandLine(COMMAND, args)}\`: ${await describeRun()}, ` +
    `${describeLoad(Math.max(...others))}. Times are medians of ${rounds} rounds (1 round if Glance does not know a size above ` +
    "512 MiB). Memory is the highest peak. Ratios are relative to a direct upload with `Content-Length`.";
  const judged = expectationList(expectations);
  process.stdout.write(`\n${textTable(fullTable(results))}\n\n${conditions}\n\n${judged}\n`);
  if (readme !== undefined)
    await writeSection(readme, "bench:glance", [readmeTable(results), conditions, judged].join("\n\n"));
  process.exitCode = expectations.some(({ holds }) => holds === false) ? 1 : 0;
}

/** The smallest first. */
function readSizes(text: string): number[] {
  const sizes = text.split(",").map((one) => {
    const { data = 0 } = sizeBytes.safeDecode(one);
    if (data === 0 || data % PIECE_BYTES !== 0)
      throw new Error(`--sizes: ${JSON.stringify(one)}: must be whole MiB, such as 64MiB,1GiB`);
    return data;
  });
  return [...new Set(sizes)].sort((left, right) => left - right);
}

function describeLoad(othersCores: number): string {
  return othersCores < 0.05 ? "otherwise idle" : `other programs used up to ${othersCores.toFixed(1)} cores`;
}

async function describeRun(): Promise<string> {
  const glance = (await run("/usr/bin/glance-api", ["--version"])).stdout.trim();
  const nginx = isProvided("nginx") ? `nginx ${await nginxVersion()}` : "no nginx";
  return `Glance ${glance} under eventlet with its S3 driver, Node ${process.versions.node}, ${nginx}, ${describeMachine()}`;
}

await runMain(main);
