import type { Log } from "./log.js";
import type { Metrics } from "./metrics.js";
import type { UploadsRegistry } from "./uploads-registry.js";

/** Records what a proxy does. */
export interface Observers {
  readonly metrics: Metrics;
  readonly log: Log;
  readonly uploads: UploadsRegistry;
}
