/** Which verdicts are refusals of the proxy. Pure. */
import type { Verdict } from "../vocabulary/outcomes.js";

type NotRefused = "completed" | "client_aborted" | "client_timeout" | "upstream_rejected" | "upstream_error";

export type RefusalVerdict = Exclude<Verdict, NotRefused>;

/** With the status that the client gets. */
export const REFUSALS: Readonly<Record<RefusalVerdict, string>> = {
  size_exceeded: "400",
  size_mismatch: "400",
  digest_mismatch: "400",
  invalid_size: "400",
  content_range: "400",
  too_large: "413",
  length_required: "411",
  busy: "429 or 507",
};

export function isRefusal(verdict: string): verdict is RefusalVerdict {
  return Object.hasOwn(REFUSALS, verdict);
}
