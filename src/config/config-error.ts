/** An unusable configuration. The command prints each of {@link faults} on a line and exits with code 2. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly code = "invalid_config";

  /** @param faults one line each: key, value (secrets hidden), source of the value, and what the value must be. */
  constructor(readonly faults: readonly string[]) {
    super(faults.join("\n"));
  }
}
