/** What became of all uploads since the start, read off the metrics: of one process, or of several. */
import type { Registry } from "prom-client";
import { PREFIX, type MetricSamples } from "./metrics.js";
import { OUTCOMES, type Outcome } from "../vocabulary/outcomes.js";

export interface UploadTotals {
  readonly receivedBytes: number;
  readonly forwardedBytes: number;
  readonly outcomes: Readonly<Record<Outcome, number>>;
}

const UPLOADS = `${PREFIX}uploads_total`;
const RECEIVED = `${PREFIX}upload_received_bytes_total`;
const FORWARDED = `${PREFIX}upload_forwarded_bytes_total`;

/** The metrics that are needed, and no others: to collect them all takes longer. */
export async function readUploadMetrics(registry: Registry): Promise<MetricSamples[]> {
  const read = async (name: string): Promise<MetricSamples[]> => {
    const metric = registry.getSingleMetric(name);
    return metric ? [await metric.get()] : [];
  };
  return (await Promise.all([UPLOADS, RECEIVED, FORWARDED].map(read))).flat();
}

export function sumUploads(metrics: readonly MetricSamples[]): UploadTotals {
  const sum = (name: string, labels: Partial<Record<string, string>> = {}): number =>
    metrics
      .filter((metric) => metric.name === name)
      .flatMap(({ values }) => values)
      .filter((value) => Object.entries(labels).every(([label, wanted]) => value.labels[label] === wanted))
      .reduce((total, { value }) => total + value, 0);
  return {
    receivedBytes: sum(RECEIVED),
    forwardedBytes: sum(FORWARDED),
    outcomes: Object.fromEntries(
      OUTCOMES.map((outcome) => [outcome, sum(UPLOADS, { outcome })]),
    ) as UploadTotals["outcomes"],
  };
}
