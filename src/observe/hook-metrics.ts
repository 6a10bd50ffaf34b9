/** The metrics of hooks. */
import { HOOK_RESULTS, type HookResult } from "../vocabulary/labels.js";
import type { MetricMakers } from "./metric-makers.js";

export interface HookMetrics {
  hook(result: HookResult): void;
  watchHooks(hooks: { readonly queued: number }): void;
}

export function createHookMetrics(make: MetricMakers): HookMetrics {
  const hooks = make.counterBy(
    "hooks_total",
    "Requests to hooks.url, and hooks that were dropped, by result",
    "result",
    HOOK_RESULTS,
  );
  return {
    hook: (result) => hooks.inc({ result }),
    watchHooks: (watched) =>
      make.gauge("hooks_queued", "Hooks that wait or are being delivered", "sum", () => watched.queued),
  };
}
