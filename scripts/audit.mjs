// `npm audit` of what is installed in production: a finding fails, a registry that cannot be asked is said loudly.
import { spawnSync } from "node:child_process";

const { stdout } = spawnSync("npm", ["audit", "--omit=dev", "--json"], { encoding: "utf8" });
const report = JSON.parse(stdout);
const total = report.metadata?.vulnerabilities?.total;
if (total === undefined) {
  console.warn(
    `\nNOT AUDITED: the registry does not answer npm audit (${report.message ?? report.error?.summary})\n`,
  );
} else if (total > 0) {
  console.error(JSON.stringify(report.vulnerabilities, undefined, 2));
  console.error(`npm audit: ${total} known vulnerabilities in production dependencies`);
  process.exitCode = 1;
} else {
  console.log("npm audit: no known vulnerabilities in production dependencies");
}
