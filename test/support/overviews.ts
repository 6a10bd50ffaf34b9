/** Overviews as a proxy would send them. */
import type { Overview } from "../../src/admin/overview.js";
import type { UploadView } from "../../src/observe/uploads-registry.js";
import { type Outcome, OUTCOMES } from "../../src/vocabulary/outcomes.js";

const outcomes = Object.fromEntries(OUTCOMES.map((outcome) => [outcome, 0])) as Record<Outcome, number>;
const START = Date.parse("2026-01-01T00:00:00Z");

export function overviewAt(seconds: number, more: Partial<Overview> = {}): Overview {
  return {
    version: "1.2.3",
    startedAt: new Date(START).toISOString(),
    now: new Date(START + seconds * 1000).toISOString(),
    state: "ready",
    workers: 1,
    inFlight: [],
    finished: [],
    totals: { receivedBytes: 0, forwardedBytes: 0, outcomes },
    ...more,
  };
}

export function uploadWith(more: Partial<UploadView>): UploadView {
  return {
    requestId: "req-1",
    imageId: "one",
    operation: "file",
    client: "curl",
    sizeSource: "header",
    receivedBytes: 0,
    forwardedBytes: 0,
    startedAt: new Date(START).toISOString(),
    durationSeconds: 0,
    waitClient: 0,
    waitGlance: 0,
    ...more,
  };
}
