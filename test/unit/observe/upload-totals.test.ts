import { expect, it } from "vitest";
import { createMetrics, type Metrics } from "../../../src/observe/metrics.js";
import { readUploadMetrics, sumUploads } from "../../../src/observe/upload-totals.js";
import { OUTCOMES } from "../../../src/vocabulary/outcomes.js";

function settle(metrics: Metrics, outcome: (typeof OUTCOMES)[number], operation: "file" | "stage"): void {
  const figures = { source: "header", receivedBytes: 5, durationSeconds: 1, reframed: false } as const;
  metrics.uploadSettled({ ...figures, operation, outcome });
}

it("of nothing is 0, with every outcome", async () => {
  const totals = sumUploads(await readUploadMetrics(createMetrics().registry));
  expect(totals).toMatchObject({ receivedBytes: 0, forwardedBytes: 0 });
  expect(Object.entries(totals.outcomes)).toEqual(OUTCOMES.map((outcome) => [outcome, 0]));
});

it("adds up operations, sources and processes", async () => {
  const [one, other] = [createMetrics(), createMetrics()];
  one.bytes.received.file = 1;
  one.bytes.received.stage = 20;
  one.bytes.forwarded.file = 3;
  other.bytes.received.file = 400;
  settle(one, "completed", "file");
  settle(one, "completed", "stage");
  settle(other, "completed", "file");
  settle(other, "busy", "file");
  const totals = sumUploads([
    ...(await readUploadMetrics(one.registry)),
    ...(await other.registry.getMetricsAsJSON()),
  ]);
  expect(totals).toMatchObject({
    receivedBytes: 421,
    forwardedBytes: 3,
    outcomes: { completed: 3, busy: 1 },
  });
});
