import type { Log } from "./log.js";
import type { Metrics } from "./metrics.js";
import type { UploadsRegistry } from "./uploads-registry.js";

/** Where a proxy says what it does. */
export interface Observers {
  readonly metrics: Metrics;
  readonly log: Log;
  readonly uploads: UploadsRegistry;
}
