/**
 * The configuration as the code uses it: as parsed, with the unit in the name of every size and time. The only file that maps the names.
 * Pure.
 */
import type { ParsedConfig } from "./schema.js";

export type Config = ReturnType<typeof toConfig>;

export function toConfig(parsed: ParsedConfig) {
  const { upstream, readiness, limits, rollback, replay, quota, spool, shutdown, hooks, ...rest } = parsed;
  const { connectTimeout: connectTimeoutMs, responseTimeout: responseTimeoutMs, ...glance } = upstream;
  const {
    maxImageSize: maxImageSizeBytes,
    idleTimeout: idleTimeoutMs,
    maxHeaderSize: maxHeaderSizeBytes,
    maxConcurrentUploads,
  } = limits;
  const {
    memory: memoryBytes,
    maxPerUpload: maxPerUploadBytes,
    maxTotal: maxTotalBytes,
    ...otherSpool
  } = spool;
  const { timeout: timeoutMs, backoff: backoffMs, ...otherHooks } = hooks;
  return {
    ...rest,
    upstream: { ...glance, connectTimeoutMs, responseTimeoutMs },
    readiness: { silenceMs: readiness.silence },
    limits: { maxImageSizeBytes, maxConcurrentUploads, idleTimeoutMs, maxHeaderSizeBytes },
    rollback: { verify: rollback.verify, timeoutMs: rollback.timeout, intervalMs: rollback.interval },
    replay: { guard: replay.guard, windowMs: replay.window },
    quota: { precheck: quota.precheck, timeoutMs: quota.timeout },
    spool: { ...otherSpool, memoryBytes, maxPerUploadBytes, maxTotalBytes },
    hooks: { ...otherHooks, timeoutMs, backoffMs },
    shutdown: { drainTimeoutMs: shutdown.drainTimeout },
  };
}
