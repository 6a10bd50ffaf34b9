/** A configuration that cannot be used. The command prints {@link faults} one to a line and exits with 2. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly code = "invalid_config";

  /** @param faults One line each: the key, where the value came from, the value (no secrets) and what it takes. */
  constructor(readonly faults: readonly string[]) {
    super(faults.join("\n"));
  }
}
