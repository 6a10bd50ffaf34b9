/** The data of the live page, for one process or several. */
import type { z } from "zod";
import type { UploadTotals } from "../observe/totals.js";
import type { UploadsSnapshot } from "../observe/uploads-registry.js";
import { version } from "../vocabulary/version.js";
import type { overviewSchema } from "./overview-schema.js";
import type { ReadinessCheck } from "./readiness.js";

/** overview-schema.ts describes each field. */
export type Overview = z.infer<typeof overviewSchema>;

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
