/** No dashboard, rule or guide speaks of a metric that the proxy does not have. */
import { readFileSync } from "node:fs";
import { Histogram } from "prom-client";
import { expect, it } from "vitest";
import { createMetrics } from "../../src/observe/metrics.js";
import { DASHBOARD_FILE, GUIDE_FILE, recordings, RULES_FILE, RULES_TEST_FILE } from "./deployed.js";

function known(): Set<string> {
  const metrics = createMetrics();
  metrics.watchConfig();
  metrics.watchSpool({ usedBytes: 0, uploads: 0, maxBytes: 1 });
  metrics.watchUploads(() => []);
  metrics.watchUpstream(() => Promise.resolve("answers"));
  metrics.watchCertificates({ listen: () => undefined, upstream: () => undefined });
  const names = metrics.registry.getMetricsAsArray().flatMap((metric) => {
    const parts = ["_bucket", "_sum", "_count"].map((suffix) => metric.name + suffix);
    return (metric as object) instanceof Histogram ? parts : [metric.name];
  });
  return new Set([...names, ...recordings.map(({ record }) => record)]);
}

it.each([DASHBOARD_FILE, RULES_FILE, RULES_TEST_FILE, GUIDE_FILE])(
  "%s mentions only existing metrics",
  (file) => {
    const named = readFileSync(file, "utf8").match(/(\w+:)?\bglance_size_proxy_\w+(:\w+)?/g) ?? [];
    expect(named).not.toEqual([]);
    const names = known();
    expect([...new Set(named)].filter((name) => !names.has(name))).toEqual([]);
  },
);
