/** Prints the effective configuration, for `--check-config`. Pure. */
import { stringify } from "yaml";
import { redact } from "./fault.js";
import type { ConfigInput } from "./schema.js";

/** @returns YAML that loads to the same configuration. User info in a URL, the only possible secret, is hidden. */
export function printConfig(written: ConfigInput): string {
  const shown = (_: unknown, value: unknown) => (typeof value === "string" ? redact(value) : value);
  return stringify(written, shown);
}
