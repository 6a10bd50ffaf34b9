/** Closed sets of words: labels of the metrics, and fields of the log, `/uploads` and the live page. */

/** What a client uploads to: `PUT /v2/images/{id}/file` or `.../stage`. */
export const OPERATIONS = ["file", "stage"] as const;
export type Operation = (typeof OPERATIONS)[number];

/** Where the size of an upload was learned; the order is that of precedence. */
export const SIZE_SOURCES = ["header", "hint", "content_length", "spooled", "unknown"] as const;
export type SizeSource = (typeof SIZE_SOURCES)[number];

/** Which bound of the spool was reached. */
export const SPOOL_BOUNDS = ["per_upload", "total", "disk"] as const;
export type SpoolBound = (typeof SPOOL_BOUNDS)[number];

/**
 * What the image showed after its upload was aborted.
 *
 * - `queued`: no longer `saving` or `uploading`.
 * - `timeout`: still `saving` or `uploading` after `rollback.timeout`.
 * - `active`: Glance holds the image as whole.
 * - `unknown`: the image could not be seen, or Glance was not seen to begin and may do so later.
 */
export const ROLLBACK_RESULTS = ["queued", "timeout", "active", "unknown"] as const;
export type RollbackResult = (typeof ROLLBACK_RESULTS)[number];

/**
 * What the image showed after an upload that was sent whole and got no answer.
 *
 * - `success`: it has what was sent, and nothing else can have made it so.
 * - `queued`: Glance has put it back.
 * - `unknown`: neither is certain.
 */
export const RECOVERY_RESULTS = ["success", "queued", "unknown"] as const;
export type RecoveryResult = (typeof RECOVERY_RESULTS)[number];

/**
 * How Glance is doing, as this proxy sees it.
 *
 * - `slow`: its last answer took more than a second.
 * - `busy`: it has not answered in time, and it was last active, or first asked, less than `readiness.silence` ago.
 * - `silent`: it was asked, and has done nothing for `readiness.silence`.
 * - `unreachable`: connections fail.
 */
export const GLANCE_STATES = ["answers", "slow", "busy", "silent", "unreachable"] as const;
export type GlanceState = (typeof GLANCE_STATES)[number];

/** Whether requests fail, or wait without end. */
export function isDown(state: GlanceState): state is "silent" | "unreachable" {
  return state === "silent" || state === "unreachable";
}
