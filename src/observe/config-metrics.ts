/** Which configuration is in force, as metrics. */
import type { MetricMakers } from "./metric-makers.js";

export const RELOAD_RESULTS = ["success", "failure"] as const;
export type ReloadResult = (typeof RELOAD_RESULTS)[number];

export interface ConfigMetrics {
  reloaded(result: ReloadResult): void;
  /** @param hash see `hashConfig`. */
  inForce(hash: number): void;
}

/** For the process that reads the configuration. Its workers do not have these metrics. */
export function createConfigMetrics(make: MetricMakers, retiredWorkers = () => 0): ConfigMetrics {
  const reloads = make.counterBy(
    "config_reloads_total",
    "Attempts to take over a new configuration while running, by result",
    "result",
    RELOAD_RESULTS,
  );
  const since = make.gaugeBy(
    "config_last_reload_success_timestamp_seconds",
    "When the configuration in force was read, in seconds since 1970",
    [],
    "max",
  );
  const hash = make.gaugeBy(
    "config_hash",
    "A hash of the values of the configuration in force, without a meaning of its own: equal configurations have equal hashes. What is " +
      "in the files that keys name does not count",
    [],
    "max",
  );
  make.gauge(
    "config_retired_workers",
    "Workers of earlier configurations that still finish their requests",
    "sum",
    retiredWorkers,
  );
  return {
    reloaded: (result) => reloads.inc({ result }),
    inForce(value) {
      since.set(Date.now() / 1000);
      hash.set(value);
    },
  };
}
