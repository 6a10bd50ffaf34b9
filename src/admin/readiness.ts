/** Whether traffic should come here: Glance answers and the proxy is not draining. */
import type { Upstream } from "../proxy/upstream.js";

export type ReadinessState = "ready" | "draining" | "glance_unreachable";

export interface Readiness {
  check(): Promise<ReadinessState>;
  /** From now on `draining`. */
  startDraining(): void;
}

/** Shorter than the timeouts of usual probes, so that the probe sees the reason and not a timeout of its own. */
const PROBE_TIMEOUT_MS = 2_000;

export function createReadiness(upstream: Upstream): Readiness {
  let draining = false;
  return {
    async check() {
      if (draining) return "draining";
      return (await glanceAnswers(upstream)) ? "ready" : "glance_unreachable";
    },
    startDraining() {
      draining = true;
    },
  };
}

/** Any HTTP answer will do: what Glance thinks of its stores or of Keystone is not the proxy's readiness. */
export function glanceAnswers(upstream: Upstream): Promise<boolean> {
  return new Promise((resolve) => {
    const request = upstream.request("GET", "/versions", {
      host: upstream.authority,
      accept: "application/json",
    });
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
