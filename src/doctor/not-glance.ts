/** The result if the service at `upstream.url` is not Glance, or nothing answers: what was found, and what to change. */
import type { Config } from "../config/config.js";

export type Upstream = Config["upstream"];

export interface NotGlance {
  readonly found: "not glance";
  /** For programs, such as `nova` or `tls_port`. */
  readonly what: string;
  readonly detail: string;
  readonly remedy: string;
}

/** Timeout of the requests whose answers only make a remedy more exact. */
export const SIDE_TIMEOUT_MS = 5_000;

export const GIVE_GLANCE = "give the address of Glance (`openstack endpoint list --service image` shows it)";

export function notGlance(what: string, detail: string, remedy: string): NotGlance {
  return { found: "not glance", what, detail, remedy };
}
