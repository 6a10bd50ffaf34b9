/** Whether traffic should come here: somebody listens, Glance answers and the proxy is not draining. */
import type { Upstream } from "../proxy/upstream.js";

export type ReadinessState = "ready" | "draining" | "not_listening" | "glance_unreachable";

export interface Readiness {
  check(): Promise<ReadinessState>;
  /** The same for whoever asks every second: Glance is not asked each time, nor waited for. */
  recent(): Promise<ReadinessState>;
  /** From now on `draining`. */
  startDraining(): void;
}

/** Shorter than the timeouts of usual probes, so that the probe sees the reason and not a timeout of its own. */
const PROBE_TIMEOUT_MS = 2_000;
/** `recent` asks Glance no more often. */
const PROBE_INTERVAL_MS = 3_000;
/** What was heard longer ago says nothing any more: nobody has asked for a while. Above interval and timeout together. */
const STALE_MS = 10_000;

/** @param listens whether clients can connect. */
export function createReadiness(upstream: Upstream, listens: () => boolean = () => true): Readiness {
  let draining = false;
  let heard = { reachable: false, at: -Infinity };
  let asking: Promise<void> | undefined;

  const ask = async (): Promise<void> => {
    heard = { reachable: await glanceAnswers(upstream), at: performance.now() };
    asking = undefined;
  };
  const state = (reachable: boolean): ReadinessState => {
    if (draining) return "draining";
    if (!listens()) return "not_listening";
    return reachable ? "ready" : "glance_unreachable";
  };

  return {
    check: async () => state(draining || !listens() || (await glanceAnswers(upstream))),
    async recent() {
      const age = performance.now() - heard.at;
      if (!draining && age > PROBE_INTERVAL_MS) asking ??= ask();
      if (!draining && age > STALE_MS) await asking;
      return state(heard.reachable);
    },
    startDraining() {
      draining = true;
    },
  };
}

/** Any HTTP answer will do: what Glance thinks of its stores or of Keystone is not the proxy's readiness. */
export function glanceAnswers(upstream: Upstream): Promise<boolean> {
  return new Promise((resolve) => {
    const request = upstream.request("GET", "/versions", [{ name: "accept", value: "application/json" }]);
    const timer = setTimeout(() => request.destroy(), PROBE_TIMEOUT_MS);
    request.once("response", (response) => {
      resolve(true);
      response.resume();
    });
    request.once("error", () => resolve(false));
    request.once("close", () => {
      clearTimeout(timer);
      resolve(false); // without effect after an answer
    });
    request.end();
  });
}
