import { format } from "prettier";
import { describe, expect, it } from "vitest";
import { PREFIX } from "../../../src/observe/metric-makers.js";
import { createMetrics } from "../../../src/observe/metrics.js";
import { describeMetrics, labelKey, LABELS } from "../../../src/observe/metrics-reference.js";
import { renderMetricsReference } from "../../../src/observe/render-metrics.js";

const described = describeMetrics();
const labelled = described
  .filter(({ isOfProcess }) => !isOfProcess)
  .flatMap(({ name, labels }) => labels.map((label) => [name, label] as const));

describe("docs/metrics.md", () => {
  it("is what the code says (write it anew with `npm run reference`)", async () => {
    const text = await format(renderMetricsReference(), { parser: "markdown", printWidth: 110 });
    await expect(text).toMatchFileSnapshot("../../../docs/metrics.md");
  });

  it.each(described.map((metric) => [metric.name, metric] as const))("describes %s", (name, metric) => {
    const row = new RegExp(`^\\| \`${name}\` \\| .*$`, "m").exec(renderMetricsReference())?.[0] ?? "";
    for (const part of [metric.type, metric.unit, metric.help, ...metric.labels]) expect(row).toContain(part);
  });
});

describe("the labels", () => {
  it.each(labelled)("of %s have their values described: %s", (metric, label) => {
    expect(LABELS).toHaveProperty([labelKey(metric, label)]);
  });

  it("are described only if a metric has them", () => {
    const used = new Set(labelled.map(([metric, label]) => labelKey(metric, label)));
    expect(Object.keys(LABELS).filter((key) => !used.has(key))).toEqual([]);
  });

  it.each(labelled)(
    "of %s are described with the values that it has from the start: %s",
    async (name, label) => {
      const metric = await createMetrics()
        .registry.getSingleMetric(PREFIX + name)
        ?.get();
      const fromTheStart = new Set((metric?.values ?? []).map(({ labels }) => labels[label]));
      const values = LABELS[labelKey(name, label)];
      if (fromTheStart.size === 0) return; // a gauge that is watched, a histogram, or any of many values
      if (typeof values === "string")
        for (const value of fromTheStart) expect(values).toContain(`\`${value}\``);
      else expect(Object.keys(values ?? {}).sort()).toEqual([...fromTheStart].sort());
    },
  );
});
