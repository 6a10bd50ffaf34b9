/** Decides whether a load balancer should send traffic here: the proxy listens, does not drain, and Glance is not down. */
import { type GlanceState, isDown } from "../vocabulary/labels.js";
import type { GlanceWatch } from "./glance-watch.js";

export interface Ready {
  readonly status: "ready";
  readonly glance: Exclude<GlanceState, "silent" | "unreachable">;
}

/** The body of the answer to `/readyz`, whose status is 200 if `ready`, otherwise 503. */
export type Readiness =
  Ready | { readonly status: "draining" | "not_listening" | "glance_silent" | "glance_unreachable" };

export interface ReadinessCheck {
  check(): Promise<Readiness>;
  /** As `check`, for a caller that calls every second: see {@link GlanceWatch.recent}. */
  recent(): Promise<Readiness>;
  /** From now on, the status is `draining`. */
  startDraining(): void;
}

/** @param listens whether clients can connect. Default: always. */
export function createReadiness(glance: GlanceWatch, listens: () => boolean = () => true): ReadinessCheck {
  let draining = false;

  async function read(look: () => Promise<GlanceState>): Promise<Readiness> {
    const ownState = (): Readiness | undefined => {
      if (draining) return { status: "draining" };
      return listens() ? undefined : { status: "not_listening" };
    };
    const own = ownState();
    if (own) return own;
    const state = await look();
    return ownState() ?? (isDown(state) ? { status: `glance_${state}` } : { status: "ready", glance: state });
  }

  return {
    check: () => read(() => glance.look()),
    recent: () => read(() => glance.recent()),
    startDraining() {
      draining = true;
    },
  };
}
