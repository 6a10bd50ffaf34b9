/** An unusable configuration. The command prints each of {@link faults} on a line and exits with code 2. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly code = "invalid_config";

  /** @param faults one line each: key, value (secrets hidden), source of the value, and what the value must be. */
  constructor(readonly faults: readonly string[]) {
    super(faults.join("\n"));
  }
}

/**
 * Runs all of them, so that one attempt finds every fault.
 *
 * @returns what they return.
 * @throws ConfigError with the faults of all, or the first error of another kind.
 */
export function collectFaults<Result>(attempts: readonly (() => Result)[]): Result[] {
  const faults: string[] = [];
  const results = attempts.flatMap((attempt): Result[] => {
    try {
      return [attempt()];
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      faults.push(...error.faults);
      return [];
    }
  });
  if (faults.length > 0) throw new ConfigError(faults);
  return results;
}
