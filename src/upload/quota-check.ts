/**
 * Refuses an upload that cannot fit into the project's quota, before any of it is read. Glance does this itself from 2026.2 on; before, it
 * only refuses a project that is over its limit already. The answer is that of Glance (`glance/quota/keystone.py`).
 */
import type { HeaderLine } from "../http/request-head.js";
import { lookUpImage, lookUpUsage, type ResourceUsage } from "../upstream/look-up.js";
import type { Upstream } from "../upstream/upstream.js";
import { ProxyError } from "../vocabulary/errors.js";
import type { Operation } from "../vocabulary/labels.js";

/** How long a Glance without such quotas is remembered, milliseconds. */
const REMEMBERED_MS = 5 * 60_000;
/** Glance's unit. */
const MIB = 2 ** 20;
const UNLIMITED = -1;

const RESOURCES = { file: "image_size_total", stage: "image_stage_total" } as const satisfies Record<
  Operation,
  string
>;

export interface QuotaCheckTarget {
  readonly operation: Operation;
  readonly imageId: string;
}

/** @param headers headers of the client's request. @throws ProxyError `too_large`. */
export type QuotaCheck = (
  target: QuotaCheckTarget,
  sizeBytes: number,
  headers: readonly HeaderLine[],
) => Promise<void>;

/** @param timeoutMs of each look-up. Afterwards the upload goes on, and Glance decides. */
export function createQuotaCheck(upstream: Upstream, timeoutMs: number): QuotaCheck {
  let hasNoneUntil = 0;

  return async ({ operation, imageId }, sizeBytes, headers) => {
    if (performance.now() < hasNoneUntil) return;
    const usages = await lookUpUsage(upstream, headers, timeoutMs);
    if (usages === "none") hasNoneUntil = performance.now() + REMEMBERED_MS;
    if (usages === "none" || usages === "failed") return;
    const resource = RESOURCES[operation];
    const quota = usages.get(resource);
    const delta = Math.floor(sizeBytes / MIB);
    if (quota === undefined || quota.limit === UNLIMITED || quota.usage + delta <= quota.limit) return;
    // Only now, because most uploads fit. If the client cannot see the image, Glance tells it so.
    const image = await lookUpImage(upstream, imageId, headers, timeoutMs);
    if (image.kind === "found") throw overLimit(image.owner ?? "", resource, quota, delta);
  };
}

function overLimit(project: string, resource: string, { limit, usage }: ResourceUsage, delta: number) {
  // Glance names the project of the token. It differs from the owner if an administrator uploads to another project's image.
  return new ProxyError(
    "too_large",
    "The request returned a 413 Request Entity Too Large. This generally means that rate limiting or a quota threshold " +
      `was breached.\n\nThe response body:\nProject ${project} is over a limit for [Resource ${resource} is over limit ` +
      `of ${limit} due to current usage ${usage} and delta ${delta}]`,
  );
}
