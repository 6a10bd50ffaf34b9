import type { Log, LogLevel } from "./log.js";
import type { Metrics } from "./metrics.js";
import type { UploadsRegistry } from "./uploads-registry.js";

/** Records what a proxy does. */
export interface Observers {
  readonly metrics: Metrics;
  readonly log: Log;
  /** Applies `log.level`. Absent if the log belongs to the caller of the API. */
  readonly setLogLevel?: (level: LogLevel) => void;
  readonly uploads: UploadsRegistry;
}
