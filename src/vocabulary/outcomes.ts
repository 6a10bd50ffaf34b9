/** How uploads end: a label of the metrics, a field of the log and of `/uploads`. */

/** `completed`: Glance has the image. `refused`: the proxy or Glance refused it. `failed`: it was aborted. */
export type OutcomeKind = "completed" | "refused" | "failed";

/** All outcomes with their kind on the live page, in the order of the page. */
const KINDS = {
  completed: "completed",
  size_exceeded: "refused",
  size_mismatch: "refused",
  digest_mismatch: "refused",
  invalid_size: "refused",
  too_large: "refused",
  length_required: "refused",
  busy: "refused",
  client_aborted: "failed",
  client_timeout: "failed",
  upstream_rejected: "refused",
  upstream_error: "failed",
} as const satisfies Record<string, OutcomeKind>;

export type Outcome = keyof typeof KINDS;

export const OUTCOMES = Object.keys(KINDS) as Outcome[];

/**
 * What an upload's outcome would have been with `enforce: true`. `content_range`: the request would have been refused because of its
 * `Content-Range`. Such a request has no outcome.
 */
export type Verdict = Outcome | "content_range";

export const VERDICTS: readonly Verdict[] = [...OUTCOMES, "content_range"];

export function outcomeKind(outcome: Outcome): OutcomeKind {
  return KINDS[outcome];
}
