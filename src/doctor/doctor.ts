/** `glance-size-proxy doctor`: what the proxy will find in a Glance, before it stands in front of it. */
import type { Config } from "../config/schema.js";
import { createUpstream } from "../proxy/upstream.js";
import { runChecks, type CheckResult } from "./checks.js";
import { createAskedGlance } from "./glance.js";

export interface DoctorOptions {
  readonly upstream: Config["upstream"];
  /** Of Keystone's; needed wherever Glance asks for one. */
  readonly token: string | undefined;
  readonly json: boolean;
}

/** @param write takes the report. @returns whether there was no problem. @throws ConfigError where a TLS file cannot be used. */
export async function runDoctor(
  { upstream, token, json }: DoctorOptions,
  write: (text: string) => void,
): Promise<boolean> {
  const glance = createAskedGlance(createUpstream(upstream), token);
  const checks = await runChecks(glance, token !== undefined);
  const healthy = checks.every(({ finding }) => finding !== "problem");
  write(json ? `${JSON.stringify({ healthy, checks }, undefined, 2)}\n` : table(checks));
  return healthy;
}

function table(checks: readonly CheckResult[]): string {
  const width = Math.max(...checks.map(({ check }) => check.length));
  return checks
    .map(
      ({ check, finding, detail }) =>
        `${check.padEnd(width)}  ${finding.padEnd("problem".length)}  ${detail}\n`,
    )
    .join("");
}
