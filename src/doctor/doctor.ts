/** `glance-size-proxy doctor`: checks a Glance before the proxy is put in front of it. */
import type { CheckResult } from "./check.js";
import { type ChecksOptions, runChecks } from "./checks.js";

export interface DoctorOptions extends ChecksOptions {
  readonly json: boolean;
}

/**
 * @param write shows the report.
 * @returns true if no check found a problem.
 * @throws ConfigError if a TLS file cannot be used.
 */
export async function runDoctor(
  { json, ...options }: DoctorOptions,
  write: (text: string) => void,
): Promise<boolean> {
  const checks = await runChecks(options);
  const healthy = checks.every(({ finding }) => finding !== "problem");
  write(json ? `${JSON.stringify({ healthy, checks }, undefined, 2)}\n` : table(checks));
  return healthy;
}

function table(checks: readonly CheckResult[]): string {
  const width = Math.max(...checks.map(({ check }) => check.length));
  return checks
    .map(({ check, finding, detail, remedy }) => {
      const text = remedy === undefined ? detail : `${detail}: ${remedy}`;
      return `${check.padEnd(width)}  ${finding.padEnd("problem".length)}  ${text}\n`;
    })
    .join("");
}
