/** Limits for all uploads together. */
import type { Config } from "../config/config.js";
import { createQuota, type LocalQuota, type Quota } from "./spool/quota.js";

export interface Quotas {
  /** `limits.maxConcurrentUploads` */
  readonly uploads: Quota;
  /** `spool.maxTotal`, bytes. */
  readonly spool: Quota;
}

export type LocalQuotas = Record<keyof Quotas, LocalQuota>;

/** For a proxy of one process, and for the primary process of several. */
export function createQuotas({ limits, spool }: Config): LocalQuotas {
  return { uploads: createQuota(limits.maxConcurrentUploads), spool: createQuota(spool.maxTotalBytes) };
}

/** Sets the limits of another configuration. What is in use stays counted. */
export function resizeQuotas(quotas: LocalQuotas, { limits, spool }: Config): void {
  quotas.uploads.resize(limits.maxConcurrentUploads);
  quotas.spool.resize(spool.maxTotalBytes);
}
