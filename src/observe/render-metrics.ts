/** Renders `docs/metrics.md` from the metrics. A test compares the file with the result; `npm run reference` writes it. Pure. */
import { PREFIX } from "./metric-makers.js";
import { type DescribedMetric, describeMetrics, labelKey, LABELS } from "./metrics-reference.js";

const INTRODUCTION = `<!-- Rendered from src/observe/metrics.ts and src/observe/metrics-reference.ts: change them, then run \`npm run reference\`. -->

# Metrics

\`GET /metrics\` on the admin address returns the metrics in Prometheus's text format. As middleware, use \`proxy.registry\`
([docs/api.md](api.md)). [docs/operations.md](operations.md#monitoring) has the scrape configuration, the dashboard and the alerts.

- All names have the prefix \`${PREFIX}\`; the tables omit it.
- Label values come from closed sets. No label has an id, a project, an address or a path.
- A counter with a label starts at 0 for each value of the label, so \`increase()\` includes the first event. The exception is \`requests_total\`.
- With several workers, each value is for all workers. The column _workers_ shows how their values are combined.
- A histogram has the samples \`_bucket\`, \`_sum\` and \`_count\`.
- \`spool_limit_bytes\` is absent if \`spool.maxTotal\` is 0. A side without a certificate is absent from
  \`tls_certificate_expiry_timestamp_seconds\`.
- \`upstream_up\`, \`upstream_state\`, \`tls_certificate_expiry_timestamp_seconds\` and \`config_...\` are metrics of the command and of
  \`createServer()\`. The middleware does not have them.
`;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line), ""].join("\n");
}

function metricsTable(metrics: readonly DescribedMetric[]): string {
  const code = (text: string): string => `\`${text}\``;
  return table(
    ["name", "type", "unit", "labels", "meaning", "workers"],
    metrics.map(({ name, type, unit, labels, help, together }) => [
      code(name),
      type,
      unit,
      labels.map(code).join(", "),
      help,
      together,
    ]),
  );
}

function labelText(key: string): string {
  const [, metric, label] = /^(?:(.*)\.)?(.*)$/.exec(key) ?? [];
  const title = `### \`${label}\`${metric === undefined ? "" : ` of \`${metric}\``}\n`;
  const values = LABELS[key] ?? "";
  const text =
    typeof values === "string"
      ? `${values}\n`
      : table(
          ["value", "meaning"],
          Object.entries(values).map(([value, meaning]) => [`\`${value}\``, meaning]),
        );
  return `${title}\n${text}`;
}

/** @returns the text of `docs/metrics.md`. Its tables are not aligned: Prettier does that. */
export function renderMetricsReference(): string {
  const metrics = describeMetrics();
  const own = metrics.filter(({ isOfProcess }) => !isOfProcess);
  const keys = new Set(own.flatMap(({ name, labels }) => labels.map((label) => labelKey(name, label))));
  const histograms = own.filter(({ buckets }) => buckets !== undefined);
  return [
    INTRODUCTION,
    "## Metrics of the proxy\n",
    metricsTable(own),
    "## Labels\n",
    ...[...keys].map(labelText),
    "## Buckets\n",
    table(
      ["name", "upper bounds"],
      histograms.map(({ name, buckets = [] }) => [`\`${name}\``, buckets.join(", ")]),
    ),
    "## Metrics of the process\n",
    "prom-client measures these. [Its documentation](https://github.com/siimon/prom-client#default-metrics) explains them.\n",
    metricsTable(metrics.filter(({ isOfProcess }) => isOfProcess)),
  ].join("\n");
}
