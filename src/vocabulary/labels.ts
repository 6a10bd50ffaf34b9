/** Closed sets of words: labels of the metrics, and fields of the log, `/uploads` and the live page. */

/** What a client uploads to: `PUT /v2/images/{id}/file` or `.../stage`. */
export const OPERATIONS = ["file", "stage"] as const;
export type Operation = (typeof OPERATIONS)[number];

/** The client program of a request, as far as its `User-Agent` tells. */
export const CLIENT_KINDS = [
  "glanceclient",
  "openstacksdk",
  "gophercloud",
  "curl",
  "browser",
  "other",
] as const;
export type ClientKind = (typeof CLIENT_KINDS)[number];

/** What the proxy does with an upload of unknown size. */
export const UNKNOWN_SIZE_POLICIES = ["forward", "spool", "reject"] as const;
export type UnknownSizePolicy = (typeof UNKNOWN_SIZE_POLICIES)[number];

/** How the size of an upload was learned, in order of precedence. */
export const SIZE_SOURCES = ["header", "hint", "content_length", "spooled", "unknown"] as const;
export type SizeSource = (typeof SIZE_SOURCES)[number];

/** For whom an upload in flight waits. `spool`: for the disk of the spool. */
export const WAITS_FOR = ["client", "glance", "spool"] as const;
export type WaitsFor = (typeof WAITS_FOR)[number];

/** Which limit of the spool was reached. */
export const SPOOL_BOUNDS = ["per_upload", "total", "disk"] as const;
export type SpoolBound = (typeof SPOOL_BOUNDS)[number];

/**
 * State of the image after its upload was aborted.
 *
 * - `queued`: no longer `saving` or `uploading`.
 * - `timeout`: still `saving` or `uploading` after `rollback.timeout`.
 * - `active`: Glance has made an image of the upload.
 * - `unknown`: the image could not be read, or it did not show that Glance had begun, which may happen later.
 */
export const ROLLBACK_RESULTS = ["queued", "timeout", "active", "unknown"] as const;
export type RollbackResult = (typeof ROLLBACK_RESULTS)[number];

/**
 * State of the image after an upload that was sent completely and not answered.
 *
 * - `success`: active with the right size, and no other upload can be the reason.
 * - `queued`: Glance has rolled the upload back.
 * - `unknown`: neither is certain.
 */
export const RECOVERY_RESULTS = ["success", "queued", "unknown"] as const;
export type RecoveryResult = (typeof RECOVERY_RESULTS)[number];

/** Why an import was refused. `observe/metrics-reference.ts` says what each means. */
export const IMPORT_REFUSAL_REASONS = [
  "method",
  "scheme",
  "host",
  "denied",
  "address",
  "uri",
  "body",
] as const;
export type ImportRefusalReason = (typeof IMPORT_REFUSAL_REASONS)[number];

/**
 * What became of a request to `hooks.url`.
 *
 * - `delivered`: answered 2xx.
 * - `retried`: failed, and it is tried again.
 * - `failed`: failed, and it is not tried again.
 * - `dropped`: given up because the queue was full or the process ended.
 */
export const HOOK_RESULTS = ["delivered", "retried", "failed", "dropped"] as const;
export type HookResult = (typeof HOOK_RESULTS)[number];

/**
 * State of Glance, as this proxy sees it.
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
