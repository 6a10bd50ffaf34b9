/** Every metric of a proxy. Label values come from closed sets: never an id, a project or a path. */
import {
  type Aggregator,
  collectDefaultMetrics,
  type MetricObjectWithValues,
  type MetricValue,
  Registry,
} from "prom-client";
import { UPSTREAM_ERROR_KINDS, type UpstreamErrorKind } from "../vocabulary/errors.js";
import {
  GLANCE_STATES,
  type GlanceState,
  IMPORT_REFUSAL_REASONS,
  type ImportRefusalReason,
  isDown,
} from "../vocabulary/labels.js";
import { version } from "../vocabulary/version.js";
import { type ConfigMetrics, createConfigMetrics } from "./config-metrics.js";
import { createHookMetrics, type HookMetrics } from "./hook-metrics.js";
import { MetricMakers, PREFIX } from "./metric-makers.js";
import { createTotals, type Totals } from "./totals.js";
import {
  createSettlingMetrics,
  createSpoolMetrics,
  createUploadMetrics,
  type SettlingMetrics,
  type SpoolMetrics,
  type UploadMetrics,
  type UploadsInFlight,
  watchUploads,
} from "./upload-metrics.js";

const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
const IMPORT_METHODS = ["glance-direct", "web-download", "glance-download", "copy-image"];

/** A metric with its samples, in the form that a worker sends to the primary. */
export type MetricSamples = MetricObjectWithValues<MetricValue<string>>;

export interface Metrics
  extends UploadMetrics, SettlingMetrics, SpoolMetrics, HookMetrics, RequestMetrics, ProcessMetrics {
  readonly registry: Registry;
  readonly totals: Totals;
  /** Counts at each scrape for whom uploads wait. Call it once. */
  watchUploads(inFlight: UploadsInFlight): void;
  /** @param look called once per scrape. Must settle well within the scrape timeout. */
  watchUpstream(look: () => Promise<GlanceState>): void;
  /**
   * Adds the metrics of the configuration. Call it once.
   * @param retiredWorkers the number of workers that finish what they have under an earlier configuration. Default: none.
   */
  watchConfig(retiredWorkers?: () => number): ConfigMetrics;
}

/** @param registry Default: a new registry, so that two proxies can run in one process. */
export function createMetrics(registry: Registry = new Registry()): Metrics {
  const totals = createTotals();
  const make = new MetricMakers(registry);
  return {
    registry,
    totals,
    ...createUploadMetrics(make, totals),
    ...createSettlingMetrics(make),
    ...createSpoolMetrics(make),
    ...createHookMetrics(make),
    ...createRequestMetrics(make),
    ...createProcessMetrics(make),
    watchUploads: (inFlight) => watchUploads(make, inFlight),
    watchUpstream: (look) => watchUpstream(make, look),
    watchConfig: (retiredWorkers) => createConfigMetrics(make, retiredWorkers),
  };
}

interface RequestMetrics {
  importRequested(method: string): void;
  importRefused(reason: ImportRefusalReason): void;
  request(method: string, status: number, seconds: number): void;
  upstreamError(kind: UpstreamErrorKind): void;
}

function createRequestMetrics(make: MetricMakers): RequestMetrics {
  const imports = make.counterBy("imports_total", "Import requests, by method", "method", [
    ...IMPORT_METHODS,
    "other",
  ]);
  const refused = make.counterBy(
    "imports_refused_total",
    "Import requests and tasks refused by import.methods or import.webDownload, by reason",
    "reason",
    IMPORT_REFUSAL_REASONS,
  );
  const requests = make.counter("requests_total", "Requests answered, including uploads", [
    "method",
    "status",
  ]);
  const duration = make.histogram(
    "request_duration_seconds",
    "Time from a request's head to the end of its answer, including uploads",
    ["method"],
    [0.005, 0.025, 0.1, 0.5, 1, 5, 30, 120, 600, 3600],
  );
  const upstreamErrors = make.counterBy(
    "upstream_errors_total",
    "Failures between the proxy and Glance, by kind",
    "kind",
    UPSTREAM_ERROR_KINDS,
  );
  return {
    importRequested: (method) => imports.inc({ method: IMPORT_METHODS.includes(method) ? method : "other" }),
    importRefused: (reason) => refused.inc({ reason }),
    request(method, status, seconds) {
      const known = METHODS.has(method) ? method : "other";
      requests.inc({ method: known, status });
      duration.observe({ method: known }, seconds);
    },
    upstreamError: (kind) => upstreamErrors.inc({ kind }),
  };
}

function watchUpstream(make: MetricMakers, look: () => Promise<GlanceState>): void {
  /** Shared by the gauges of one scrape, which prom-client collects at the same time. */
  let looking: Promise<GlanceState> | undefined;
  const lookOnce = (): Promise<GlanceState> =>
    (looking ??= look().finally(() => {
      looking = undefined;
    }));
  // `min` shows the worst state of several processes: each has its own connections.
  make.gauge(
    "upstream_up",
    "0 if connections to Glance fail or Glance has been silent for readiness.silence, otherwise 1",
    "min",
    async () => (isDown(await lookOnce()) ? 0 : 1),
  );
  make.gaugeBy(
    "upstream_state",
    "1 for the current state of Glance (answers, slow, busy, silent or unreachable), 0 for the others",
    ["state"],
    "max",
    async (gauge) => {
      const current = await lookOnce();
      for (const state of GLANCE_STATES) gauge.set({ state }, state === current ? 1 : 0);
    },
  );
}

type Expiries = { readonly [Side in "listen" | "upstream" | "admin"]?: () => number | undefined };

interface ProcessMetrics {
  /** Sets the metric that shows how upload bodies are read. */
  relayChosen(relay: "raw" | "stream"): void;
  /** @param log `dropped` is the number of lines dropped since the start. */
  watchLog(log: { readonly dropped: number }): void;
  /**
   * May be called once for each side.
   * @param expiries the expiry of each side's certificate, seconds since 1970. Undefined without a certificate.
   */
  watchCertificates(expiries: Expiries): void;
}

function createProcessMetrics(make: MetricMakers): ProcessMetrics {
  const { registry } = make;
  collectDefaultMetrics({ register: registry, prefix: PREFIX });
  // These gauges end in `_total`, which promtool reports as an error. Metrics by type, without that ending, have the same values.
  for (const what of ["handles", "requests", "resources"]) {
    registry.removeSingleMetric(`${PREFIX}nodejs_active_${what}_total`);
  }
  // The first process started with the proxy. The default aggregator would omit the metric.
  const startTime = registry.getSingleMetric(`${PREFIX}process_start_time_seconds`);
  if (startTime) Object.assign(startTime, { aggregator: "min" satisfies Aggregator });

  make.gaugeBy("build_info", "Always 1; the label is the version", ["version"], "first").set({ version }, 1);
  const relayHelp = "Always 1; the label is how upload bodies are read: raw or stream";
  const relayInfo = make.gaugeBy("relay_info", relayHelp, ["relay"], "max");
  let log = { dropped: 0 };
  let expiries: Expiries | undefined;
  make.countedElsewhere(
    "log_lines_dropped_total",
    "Log lines dropped because standard output did not accept them",
    [],
    (counter) => counter.inc(log.dropped),
  );
  return {
    relayChosen(relay) {
      relayInfo.reset();
      relayInfo.set({ relay }, 1);
    },
    watchLog(watched) {
      log = watched;
    },
    watchCertificates(more) {
      if (expiries === undefined) watchCertificates(make, (expiries = {}));
      Object.assign(expiries, more);
    },
  };
}

function watchCertificates(make: MetricMakers, expiries: Expiries): void {
  make.gaugeBy(
    "tls_certificate_expiry_timestamp_seconds",
    "Expiry of the certificate presented to clients (listen), to Glance (upstream) or to operators (admin), in seconds since 1970",
    ["side"],
    "min", // the certificate that expires first
    (gauge) => {
      gauge.reset();
      for (const side of ["listen", "upstream", "admin"] as const) {
        const expiry = expiries[side]?.();
        if (expiry !== undefined) gauge.set({ side }, expiry);
      }
    },
  );
}
