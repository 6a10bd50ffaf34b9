import { expect, it } from "vitest";
import { createMetrics, type Metrics } from "../../../src/observe/metrics.js";
import { createTotals, sumTotals, uploadTotals } from "../../../src/observe/totals.js";
import { type Outcome, OUTCOMES } from "../../../src/vocabulary/outcomes.js";

function settle(metrics: Metrics, outcome: Outcome, operation: "file" | "stage"): void {
  const figures = { sizeSource: "header", receivedBytes: 5, durationSeconds: 1 } as const;
  metrics.uploadSettled({ ...figures, operation, outcome }, false);
}

it("totals start with 0 for every outcome", () => {
  const totals = uploadTotals(createTotals());
  expect(totals).toMatchObject({ receivedBytes: 0, forwardedBytes: 0 });
  expect(Object.entries(totals.outcomes)).toEqual(OUTCOMES.map((outcome) => [outcome, 0]));
});

it("totals add up operations, size sources and processes", () => {
  const [one, other] = [createMetrics(), createMetrics()];
  one.totals.received.file = 1;
  one.totals.received.stage = 20;
  one.totals.forwarded.file = 3;
  other.totals.received.file = 400;
  settle(one, "completed", "file");
  settle(one, "completed", "stage");
  settle(other, "completed", "file");
  settle(other, "busy", "file");
  expect(uploadTotals(sumTotals([one.totals, other.totals, createTotals()]))).toMatchObject({
    receivedBytes: 421,
    forwardedBytes: 3,
    outcomes: { completed: 3, busy: 1 },
  });
});

it("totals and Prometheus have the same numbers", async () => {
  const metrics = createMetrics();
  metrics.totals.uploads.stage.size_exceeded.hint = 3;
  metrics.totals.received.file = 11;
  const text = await metrics.registry.metrics();
  expect(text).toContain(
    'glance_size_proxy_uploads_total{operation="stage",outcome="size_exceeded",size_source="hint"} 3',
  );
  expect(text).toContain('glance_size_proxy_upload_received_bytes_total{operation="file"} 11');
});
