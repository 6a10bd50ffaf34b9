/** Prints the effective configuration, for `--check-config`. Pure. */
import { stringify } from "yaml";
import { z } from "zod";
import { redact } from "./fault.js";
import { configSchema, type Config } from "./schema.js";

/**
 * @returns every key with its effective value, as YAML that loads to the same configuration. A size has the largest unit that is
 *   exact (`64KiB`), a time has a unit. User info in a URL, the only possible secret, is hidden.
 */
export function printConfig(config: Config): string {
  const written = z.encode(configSchema, config);
  const shown = (_: unknown, value: unknown) => (typeof value === "string" ? redact(value) : value);
  return stringify(written, shown);
}
