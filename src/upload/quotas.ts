/** Limits for all uploads together. */
import type { Config } from "../config/config.js";
import { createQuota, type LocalQuota, type Quota } from "./spool/quota.js";

export interface Quotas {
  /** `limits.maxConcurrentUploads` */
  readonly uploads: Quota;
  /** `spool.maxTotal`, bytes. */
  readonly spool: Quota;
}

/** For a proxy of one process. */
export function createQuotas({ limits, spool }: Config): { uploads: LocalQuota; spool: LocalQuota } {
  return { uploads: createQuota(limits.maxConcurrentUploads), spool: createQuota(spool.maxTotalBytes) };
}
