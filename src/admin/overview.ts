/** All that the live page shows, of one process or of several. */
import type { UploadTotals } from "../observe/totals.js";
import type { UploadsSnapshot } from "../observe/uploads-registry.js";
import { version } from "../vocabulary/version.js";
import type { Readiness, ReadinessCheck, Ready } from "./readiness.js";

export interface Overview extends UploadsSnapshot {
  readonly version: string;
  /** ISO 8601, as all times. */
  readonly startedAt: string;
  /** When this was so; rates are differences over it, whatever the clock of who looks. */
  readonly now: string;
  readonly state: Readiness["status"];
  /** Present if `state` is `ready`. */
  readonly glance?: Ready["glance"];
  /** Processes that take requests. */
  readonly workers: number;
  /** Since the start. */
  readonly totals: UploadTotals;
}

export interface OverviewSources {
  readonly readiness: ReadinessCheck;
  readonly uploads: () => Promise<UploadsSnapshot>;
  readonly totals: () => UploadTotals;
  readonly workers: () => number;
}

export function createOverview(sources: OverviewSources): () => Promise<Overview> {
  const startedAt = new Date().toISOString();
  return async () => {
    const { status: state, ...glance } = await sources.readiness.recent();
    const uploads = await sources.uploads();
    const totals = sources.totals();
    const now = new Date().toISOString();
    return { version, startedAt, now, state, ...glance, workers: sources.workers(), ...uploads, totals };
  };
}
