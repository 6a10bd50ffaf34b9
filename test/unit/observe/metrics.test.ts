import { AggregatorRegistry, Registry } from "prom-client";
import { describe, expect, it } from "vitest";
import { createMetrics, type Metrics } from "../../../src/observe/metrics.js";
import { GLANCE_STATES } from "../../../src/vocabulary/labels.js";
import { OUTCOMES } from "../../../src/vocabulary/outcomes.js";

const PREFIX = "glance_size_proxy_";

/** The proxy's own metrics with their labels. Besides them there are prom-client's, of the process. */
const METRICS: Readonly<Record<string, readonly string[]>> = {
  uploads_total: ["operation", "outcome", "size_source"],
  upload_received_bytes_total: ["operation"],
  upload_forwarded_bytes_total: ["operation"],
  uploads_in_flight: ["operation"],
  uploads_waiting: ["for"],
  upload_duration_seconds: ["operation"],
  upload_size_bytes: ["operation"],
  upload_wait_client_seconds: ["operation"],
  upload_wait_glance_seconds: ["operation"],
  upload_last_byte_to_answer_seconds: ["operation"],
  upload_spool_write_seconds: ["operation"],
  upload_spool_read_seconds: ["operation"],
  reframed_uploads_total: ["operation"],
  spool_bytes: [],
  spool_uploads: [],
  spool_limit_bytes: [],
  spool_full_total: ["reason"],
  hooks_total: ["result"],
  undeclared_uploads_total: ["client"],
  uploads_observed_total: ["verdict"],
  unknown_size_rules_total: ["policy", "rule"],
  rollbacks_total: ["result"],
  recovered_answers_total: ["result"],
  replays_refused_total: [],
  rollback_duration_seconds: [],
  imports_total: ["method"],
  imports_refused_total: ["reason"],
  requests_total: ["method", "status"],
  request_duration_seconds: ["method"],
  upstream_errors_total: ["kind"],
  upstream_up: [],
  upstream_state: ["state"],
  tls_certificate_expiry_timestamp_seconds: ["side"],
  build_info: ["version"],
  relay_info: ["relay"],
  log_lines_dropped_total: [],
};

const FIGURES = {
  operation: "file",
  outcome: "completed",
  sizeSource: "header",
  receivedBytes: 5,
  durationSeconds: 1,
  waitClient: 0.25,
  waitGlance: 0.5,
  lastByteToAnswer: 0.25,
  spoolWrite: 0.125,
  spoolRead: 0.125,
} as const;

const SPOOL = { usedBytes: 5, uploads: 1, maxBytes: 10 } as const;

/** Everything that can be counted, counted once. */
function exercise(metrics: Metrics): void {
  metrics.uploadStarted("file");
  metrics.uploadSettled(FIGURES, false);
  metrics.uploadStarted("stage");
  metrics.uploadSettled(
    { ...FIGURES, operation: "stage", outcome: "size_exceeded", sizeSource: "unknown" },
    true,
  );
  metrics.uploadUndeclared("curl");
  metrics.unknownSizeDecided({ rule: "default", policy: "forward" });
  metrics.rollback("queued", 0.1);
  metrics.spoolFull("total");
  metrics.importRequested("glance-direct");
  metrics.request("GET", 200, 0.1);
  metrics.upstreamError("reset");
  metrics.relayChosen("raw");
  metrics.watchSpool(SPOOL);
  metrics.watchUploads(() => [{ waitsFor: "glance" }, {}, { waitsFor: "glance" }]);
  metrics.watchUpstream(() => Promise.resolve("answers"));
  metrics.watchCertificates({ listen: () => 1000, upstream: () => undefined });
}

async function sample(metrics: Metrics, name: string, labels: Record<string, string> = {}) {
  const metric = await metrics.registry.getSingleMetric(PREFIX + name)?.get();
  return metric?.values.find(
    (one) =>
      // Histograms have samples under three names.
      [undefined, PREFIX + name, `${PREFIX}${name}_count`].includes(
        (one as { metricName?: string }).metricName,
      ) && Object.entries(labels).every(([label, value]) => one.labels[label] === value),
  )?.value;
}

describe("the metrics", () => {
  it("have the names and labels that dashboards and alerts are written for", async () => {
    const metrics = createMetrics();
    exercise(metrics);
    const seen: Record<string, string[]> = {};
    for (const { name, values } of await metrics.registry.getMetricsAsJSON()) {
      const own = name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name;
      if (/^(process|nodejs)_/.test(own)) continue;
      const labels = values.flatMap(({ labels }) => Object.keys(labels)).filter((label) => label !== "le");
      seen[own] = [...new Set(labels)].sort();
    }
    expect(seen).toEqual(METRICS);
  });

  it("have prom-client's process metrics under the same prefix", () => {
    const names = createMetrics()
      .registry.getMetricsAsArray()
      .map(({ name }) => name);
    expect(names).toContain(`${PREFIX}process_cpu_seconds_total`);
    expect(names.every((name) => name.startsWith(PREFIX))).toBe(true);
  });

  it("start with 0 uploads in flight", async () => {
    const metrics = createMetrics();
    expect(await sample(metrics, "uploads_in_flight", { operation: "file" })).toBe(0);
    expect(await sample(metrics, "uploads_in_flight", { operation: "stage" })).toBe(0);
    metrics.uploadStarted("file");
    expect(await sample(metrics, "uploads_in_flight", { operation: "file" })).toBe(1);
    metrics.uploadSettled(FIGURES, false);
    expect(await sample(metrics, "uploads_in_flight", { operation: "file" })).toBe(0);
  });

  it("count for whom uploads wait, at each scrape anew", async () => {
    const metrics = createMetrics();
    let uploads: { waitsFor?: "client" | "glance" }[] = [{ waitsFor: "glance" }, {}, { waitsFor: "glance" }];
    metrics.watchUploads(() => uploads);
    const waiting = (): Promise<unknown> =>
      Promise.all(
        ["client", "glance", "spool"].map((side) => sample(metrics, "uploads_waiting", { for: side })),
      );
    expect(await waiting()).toEqual([0, 2, 0]);
    uploads = [{ waitsFor: "client" }];
    expect(await waiting()).toEqual([1, 0, 0]);
  });

  it("count bytes as they are added, by operation", async () => {
    const metrics = createMetrics();
    metrics.totals.received.file += 7;
    metrics.totals.forwarded.stage += 3;
    for (let scrape = 0; scrape < 2; scrape += 1) {
      expect(await sample(metrics, "upload_received_bytes_total", { operation: "file" })).toBe(7);
      expect(await sample(metrics, "upload_received_bytes_total", { operation: "stage" })).toBe(0);
      expect(await sample(metrics, "upload_forwarded_bytes_total", { operation: "stage" })).toBe(3);
    }
  });

  it("count dropped lines of the log as its output counts them", async () => {
    const metrics = createMetrics();
    expect(await sample(metrics, "log_lines_dropped_total")).toBe(0);
    const output = { dropped: 3 };
    metrics.watchLog(output);
    expect(await sample(metrics, "log_lines_dropped_total")).toBe(3);
    output.dropped = 5;
    expect(await sample(metrics, "log_lines_dropped_total")).toBe(5);
  });

  it("count sizes only of completed uploads, and clients that declare no size", async () => {
    const metrics = createMetrics();
    exercise(metrics);
    expect(await sample(metrics, "upload_size_bytes", { operation: "stage" })).toBeUndefined();
    expect(await sample(metrics, "upload_size_bytes", { operation: "file" })).toBe(1);
    expect(await sample(metrics, "undeclared_uploads_total", { client: "curl" })).toBe(1);
    expect(await sample(metrics, "reframed_uploads_total", { operation: "stage" })).toBe(1);
    expect(await sample(metrics, "reframed_uploads_total", { operation: "file" })).toBe(0);
  });

  // Of a counter whose first sample is a 1, Prometheus sees no increase, and the alert on it stays silent.
  it.each([
    ["rollbacks_total", "result", ["queued", "timeout", "active", "unknown"]],
    ["recovered_answers_total", "result", ["success", "queued", "unknown"]],
    ["spool_full_total", "reason", ["per_upload", "total", "disk"]],
    [
      "upstream_errors_total",
      "kind",
      ["connect", "connect_timeout", "timeout", "reset", "protocol", "early_success", "truncated", "framing"],
    ],
    [
      "undeclared_uploads_total",
      "client",
      ["glanceclient", "openstacksdk", "gophercloud", "curl", "browser", "other"],
    ],
    ["imports_total", "method", ["glance-direct", "web-download", "glance-download", "copy-image", "other"]],
    ["reframed_uploads_total", "operation", ["file", "stage"]],
    ["uploads_observed_total", "verdict", [...OUTCOMES, "content_range"]],
  ])("have %s at 0 from the start, for each %s", async (name, label, values) => {
    const metric = await createMetrics()
      .registry.getSingleMetric(PREFIX + name)
      ?.get();
    expect(metric?.values).toEqual(values.map((value) => ({ value: 0, labels: { [label]: value } })));
  });

  it("have uploads_total at 0 from the start, for each operation, outcome and source of a size", async () => {
    const metric = await createMetrics().registry.getSingleMetric(`${PREFIX}uploads_total`)?.get();
    expect(new Set(metric?.values.map(({ value }) => value))).toEqual(new Set([0]));
    expect(metric?.values).toHaveLength(2 * OUTCOMES.length * 5);
  });

  it("have a spool limit only if one is configured", async () => {
    const [limited, unlimited] = [createMetrics(), createMetrics()];
    limited.watchSpool(SPOOL);
    unlimited.watchSpool({ ...SPOOL, maxBytes: 0 });
    expect(await sample(limited, "spool_limit_bytes")).toBe(10);
    expect(await sample(unlimited, "spool_limit_bytes")).toBeUndefined();
  });

  it.each([
    ["answers", 1],
    ["slow", 1],
    ["busy", 1],
    ["silent", 0],
    ["unreachable", 0],
  ] as const)("ask for Glance once a scrape; if it is %s, upstream_up is %i", async (state, up) => {
    const metrics = createMetrics();
    let looks = 0;
    metrics.watchUpstream(() => {
      looks += 1;
      return Promise.resolve(state);
    });
    const text = await metrics.registry.metrics();
    expect(looks).toBe(1);
    expect(text).toContain(`\n${PREFIX}upstream_up ${up}\n`);
    const states = [...text.matchAll(/^glance_size_proxy_upstream_state\{state="(\w+)"\} (\d)$/gm)];
    expect(states.map(([, name, value]) => [name, value])).toEqual(
      GLANCE_STATES.map((name) => [name, name === state ? "1" : "0"]),
    );
    await metrics.registry.metrics();
    expect(looks).toBe(2);
  });

  it("know these outcomes and no others", () => {
    expect([...OUTCOMES].sort()).toEqual([
      "busy",
      "client_aborted",
      "client_timeout",
      "completed",
      "digest_mismatch",
      "invalid_size",
      "length_required",
      "size_exceeded",
      "size_mismatch",
      "too_large",
      "upstream_error",
      "upstream_rejected",
    ]);
  });
});

describe("the value of a label comes from a closed set:", () => {
  it.each(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])(
    "the method %s keeps its name",
    async (method) => {
      const metrics = createMetrics();
      metrics.request(method, 200, 1);
      expect(await sample(metrics, "requests_total", { method })).toBe(1);
      expect(await sample(metrics, "request_duration_seconds", { method })).toBeDefined();
    },
  );

  it.each(["PROPFIND", "get", "x".repeat(1000)])("the method %s becomes other", async (method) => {
    const metrics = createMetrics();
    metrics.request(method, 200, 1);
    expect(await sample(metrics, "requests_total", { method: "other" })).toBe(1);
  });

  it.each(["glance-direct", "web-download", "glance-download", "copy-image"])(
    "the import method %s is itself",
    async (method) => {
      const metrics = createMetrics();
      metrics.importRequested(method);
      expect(await sample(metrics, "imports_total", { method })).toBe(1);
    },
  );

  it.each(["", "my-plugin", "__proto__"])("the import method %j becomes other", async (method) => {
    const metrics = createMetrics();
    metrics.importRequested(method);
    expect(await sample(metrics, "imports_total", { method: "other" })).toBe(1);
  });
});

describe("two proxies in one process", () => {
  it("have separate counts", async () => {
    const [one, other] = [createMetrics(), createMetrics()];
    one.request("GET", 200, 1);
    expect(await sample(one, "requests_total", { method: "GET" })).toBe(1);
    expect(await sample(other, "requests_total", { method: "GET" })).toBeUndefined();
  });

  it("can be combined: counters are summed, gauges are not", async () => {
    const parts = [createMetrics(), createMetrics()];
    for (const [index, metrics] of parts.entries()) {
      metrics.uploadStarted("file");
      metrics.watchSpool(SPOOL);
      metrics.watchUploads(() => [{ waitsFor: "client" }]);
      metrics.watchUpstream(() => Promise.resolve(index === 0 ? "answers" : "silent"));
      metrics.watchCertificates({ listen: () => 1000 + index, upstream: () => undefined });
    }
    const together = AggregatorRegistry.aggregate(
      await Promise.all(parts.map(({ registry }) => registry.getMetricsAsJSON())),
    );
    expect(together.getSingleMetric(`${PREFIX}process_start_time_seconds`)).toBeDefined();
    const gauges: Record<string, number | undefined> = {};
    for (const { name, type, values } of await together.getMetricsAsJSON()) {
      const own = name.slice(PREFIX.length);
      // The enumeration's member is the text "gauge" at run time.
      if (String(type) === "gauge" && !/^(process|nodejs)_/.test(own)) gauges[own] = values[0]?.value;
    }
    expect(gauges).toEqual({
      uploads_in_flight: 2,
      uploads_waiting: 2,
      spool_bytes: 10,
      spool_uploads: 2,
      spool_limit_bytes: 10,
      upstream_up: 0,
      upstream_state: 1, // of `answers`, which comes first; `silent` is 1, too
      tls_certificate_expiry_timestamp_seconds: 1000,
      build_info: 1,
    });
  });

  it("can register in a given registry", () => {
    const registry = new Registry();
    expect(createMetrics(registry).registry).toBe(registry);
    expect(registry.getSingleMetric(`${PREFIX}uploads_total`)).toBeDefined();
  });
});
