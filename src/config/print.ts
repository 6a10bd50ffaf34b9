/** The effective configuration as a file, for `--check-config`. Pure. */
import { stringify } from "yaml";
import { z } from "zod";
import { redact } from "./fault.js";
import { configSchema, type Config } from "./schema.js";

/**
 * Every key with the value in effect, as YAML that loads back to the same configuration: sizes as `64KiB` where that is
 * exact, times with a unit. User info in a URL, the only secret a value could hold, is hidden.
 */
export function printConfig(config: Config): string {
  const written = z.encode(configSchema, config);
  const shown = (_: unknown, value: unknown) => (typeof value === "string" ? redact(value) : value);
  return stringify(written, shown);
}
