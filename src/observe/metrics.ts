/** Every metric, its name, labels and meaning. Labels come from closed sets: never an id, a project or a path. */
import {
  Counter,
  Gauge,
  Histogram,
  Registry,
  collectDefaultMetrics,
  type Aggregator,
  type MetricObjectWithValues,
  type MetricValue,
} from "prom-client";
import {
  OPERATIONS,
  type Operation,
  SIZE_SOURCES,
  type SizeSource,
  SPOOL_BOUNDS,
  type SpoolBound,
  ROLLBACK_RESULTS,
  type RollbackResult,
  RECOVERY_RESULTS,
  type RecoveryResult,
} from "../vocabulary/labels.js";
import { UPSTREAM_ERROR_KINDS, type UpstreamErrorKind } from "../vocabulary/errors.js";
import { CLIENT_KINDS, type ClientKind } from "./client-kind.js";
import { GLANCE_STATES, isDown, type GlanceState } from "../vocabulary/labels.js";
import { OUTCOMES, type Outcome } from "../vocabulary/outcomes.js";
import { createTotals, type Totals } from "./totals.js";
import { version } from "../vocabulary/version.js";

export const PREFIX = "glance_size_proxy_";

const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
const IMPORT_METHODS = ["glance-direct", "web-download", "glance-download", "copy-image"];

/** A metric with its samples, as processes tell it each other. */
export type MetricSamples = MetricObjectWithValues<MetricValue<string>>;

export interface UploadFigures {
  readonly operation: Operation;
  readonly outcome: Outcome;
  readonly source: SizeSource;
  readonly receivedBytes: number;
  readonly durationSeconds: number;
  readonly reframed: boolean;
}

export interface Metrics {
  readonly registry: Registry;
  readonly totals: Totals;
  uploadStarted(operation: Operation): void;
  /** Nobody announced its size. */
  uploadUndeclared(client: ClientKind): void;
  uploadSettled(figures: UploadFigures): void;
  rollback(result: RollbackResult, seconds: number): void;
  /** Glance's answer to a whole upload did not come, and the image was looked at. */
  answerRecovered(result: RecoveryResult): void;
  /** An upload that is the rest of one that had just failed. */
  replayRefused(): void;
  spoolFull(why: SpoolBound): void;
  /** @param spool its `maxBytes` are 0 without a limit. */
  watchSpool(spool: {
    readonly usedBytes: number;
    readonly uploads: number;
    readonly maxBytes: number;
  }): void;
  importRequested(method: string): void;
  request(method: string, status: number, seconds: number): void;
  upstreamError(kind: UpstreamErrorKind): void;
  /** @param look is called once a scrape; settles well within the time that a scrape may take. */
  watchUpstream(look: () => Promise<GlanceState>): void;
  /** How upload bodies are read. */
  relayChosen(relay: "raw" | "stream"): void;
  /** @param log tells how many lines were dropped since the start. */
  watchLog(log: { readonly dropped: number }): void;
  /** @param expiries seconds since 1970 at which the certificate of a side ends; undefined without one. */
  watchCertificates(expiries: Record<"listen" | "upstream", () => number | undefined>): void;
}

/** @param registry where to register; one of its own by default, so that two proxies can live in one process. */
export function createMetrics(registry: Registry = new Registry()): Metrics {
  const registers = [registry];
  const totals = createTotals();

  function counter<Label extends string>(name: string, help: string, labelNames: readonly Label[]) {
    return new Counter<Label>({ name: PREFIX + name, help, labelNames, registers });
  }
  /** Each value is there from the start: of a counter whose first sample is 1, Prometheus sees no increase. */
  function counterBy(name: string, help: string, label: string, values: readonly string[]) {
    const made = counter(name, help, [label]);
    for (const value of values) made.inc({ [label]: value }, 0);
    return made;
  }
  /** @param aggregator what several processes' values make together. */
  function gauge(name: string, help: string, aggregator: Aggregator, read: () => number | Promise<number>) {
    new Gauge({
      name: PREFIX + name,
      help,
      aggregator,
      registers,
      async collect() {
        this.set(await read());
      },
    });
  }
  /** By its one label; set by whoever has it. */
  function gaugeBy<Label extends string>(name: string, help: string, label: Label, aggregator: Aggregator) {
    return new Gauge<Label>({ name: PREFIX + name, help, labelNames: [label], aggregator, registers });
  }
  function byteCounter(name: string, help: string, totals: Record<Operation, number>) {
    new Counter({
      name: PREFIX + name,
      help,
      labelNames: ["operation"],
      registers,
      collect() {
        this.reset();
        this.inc({ operation: "file" }, totals.file);
        this.inc({ operation: "stage" }, totals.stage);
      },
    });
  }

  new Counter({
    name: `${PREFIX}uploads_total`,
    help: "Finished uploads, by outcome and by the source of their size",
    labelNames: ["operation", "outcome", "size_source"],
    registers,
    collect() {
      this.reset();
      for (const operation of OPERATIONS) {
        for (const outcome of OUTCOMES) {
          for (const size_source of SIZE_SOURCES) {
            this.inc({ operation, outcome, size_source }, totals.uploads[operation][outcome][size_source]);
          }
        }
      }
    },
  });
  byteCounter("upload_received_bytes_total", "Bytes of image data read from clients", totals.received);
  byteCounter("upload_forwarded_bytes_total", "Bytes of image data sent to Glance", totals.forwarded);
  const inFlight = gaugeBy("uploads_in_flight", "Uploads in progress", "operation", "sum");
  const duration = new Histogram({
    name: `${PREFIX}upload_duration_seconds`,
    help: "Time from the start of an upload to its end",
    labelNames: ["operation"],
    buckets: [0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400],
    registers,
  });
  const size = new Histogram({
    name: `${PREFIX}upload_size_bytes`,
    help: "Bytes of image data in completed uploads",
    labelNames: ["operation"],
    buckets: [20, 24, 26, 28, 30, 32, 34, 36, 38, 40].map((power) => 2 ** power),
    registers,
  });
  const reframed = counterBy(
    "reframed_uploads_total",
    "Uploads received chunked and sent to Glance with Content-Length",
    "operation",
    ["file", "stage"],
  );
  const undeclared = counterBy(
    "undeclared_uploads_total",
    "Uploads without a declared size, by kind of client",
    "client",
    CLIENT_KINDS,
  );
  const rollbacks = counterBy(
    "rollbacks_total",
    "Aborted uploads, by the state of the image afterwards",
    "result",
    ROLLBACK_RESULTS,
  );
  const rollbackDuration = new Histogram({
    name: `${PREFIX}rollback_duration_seconds`,
    help: "Time from the abort of an upload until its image was queued again or the proxy stopped checking",
    buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  });
  const recoveredAnswers = counterBy(
    "recovered_answers_total",
    "Uploads sent completely but not answered by Glance, by the state of the image afterwards",
    "result",
    RECOVERY_RESULTS,
  );
  const replaysRefused = counter(
    "replays_refused_total",
    "Uploads refused because the client retried without rewinding its file",
    [],
  );
  const spoolFull = counterBy(
    "spool_full_total",
    "Times a limit of the spool was reached, by limit",
    "reason",
    SPOOL_BOUNDS,
  );
  const imports = counterBy("imports_total", "Import requests, by method", "method", [
    ...IMPORT_METHODS,
    "other",
  ]);
  const requests = counter("requests_total", "Requests answered, including uploads", ["method", "status"]);
  const requestDuration = new Histogram({
    name: `${PREFIX}request_duration_seconds`,
    help: "Time from a request's head to the end of its answer, including uploads",
    labelNames: ["method"],
    buckets: [0.005, 0.025, 0.1, 0.5, 1, 5, 30, 120, 600, 3600],
    registers,
  });
  const upstreamErrors = counterBy(
    "upstream_errors_total",
    "Failures between the proxy and Glance, by kind",
    "kind",
    UPSTREAM_ERROR_KINDS,
  );
  gaugeBy("build_info", "Always 1; the label is the version", "version", "first").set({ version }, 1);
  const relayInfo = gaugeBy(
    "relay_info",
    "Always 1; the label is how upload bodies are read: raw or stream",
    "relay",
    "max",
  );
  let log = { dropped: 0 };
  new Counter({
    name: `${PREFIX}log_lines_dropped_total`,
    help: "Log lines dropped because standard output did not accept them",
    registers,
    collect() {
      this.reset();
      this.inc(log.dropped);
    },
  });
  collectDefaultMetrics({ register: registry, prefix: PREFIX });
  // Gauges by a counter's name, which promtool objects to; the same figures stand by type under names of their own.
  for (const what of ["handles", "requests", "resources"]) {
    registry.removeSingleMetric(`${PREFIX}nodejs_active_${what}_total`);
  }

  // Of several processes the first began when the proxy did; by itself the metric would be left out of the sum.
  const startTime = registry.getSingleMetric(`${PREFIX}process_start_time_seconds`);
  if (startTime) Object.assign(startTime, { aggregator: "min" satisfies Aggregator });

  for (const operation of OPERATIONS) {
    inFlight.set({ operation }, 0);
  }

  return {
    registry,
    totals,
    uploadStarted(operation) {
      inFlight.inc({ operation });
    },
    uploadUndeclared(client) {
      undeclared.inc({ client });
    },
    uploadSettled({ operation, outcome, source, receivedBytes, durationSeconds, reframed: wasReframed }) {
      inFlight.dec({ operation });
      totals.uploads[operation][outcome][source] += 1;
      duration.observe({ operation }, durationSeconds);
      if (outcome === "completed") size.observe({ operation }, receivedBytes);
      if (wasReframed) reframed.inc({ operation });
    },
    rollback(result, seconds) {
      rollbacks.inc({ result });
      rollbackDuration.observe(seconds);
    },
    answerRecovered(result) {
      recoveredAnswers.inc({ result });
    },
    replayRefused() {
      replaysRefused.inc();
    },
    spoolFull(why) {
      spoolFull.inc({ reason: why });
    },
    watchSpool(spool) {
      gauge("spool_bytes", "Bytes of image data in the spool", "sum", () => spool.usedBytes);
      gauge("spool_uploads", "Uploads with data in the spool", "sum", () => spool.uploads);
      // Absent without a limit: what is nearly full is bytes / limit, and that then has no value.
      if (spool.maxBytes > 0) {
        gauge(
          "spool_limit_bytes",
          "Maximum bytes in the spool (spool.maxTotal)",
          "first",
          () => spool.maxBytes,
        );
      }
    },
    importRequested(method) {
      imports.inc({ method: IMPORT_METHODS.includes(method) ? method : "other" });
    },
    request(method, status, seconds) {
      const known = METHODS.has(method) ? method : "other";
      requests.inc({ method: known, status });
      requestDuration.observe({ method: known }, seconds);
    },
    upstreamError(kind) {
      upstreamErrors.inc({ kind });
    },
    watchUpstream(look) {
      /** The gauges of one scrape are collected together. */
      let looking: Promise<GlanceState> | undefined;
      const lookOnce = (): Promise<GlanceState> =>
        (looking ??= look().finally(() => {
          looking = undefined;
        }));
      // Of several processes the worst: each has connections of its own.
      gauge(
        "upstream_up",
        "0 if connections to Glance fail or Glance has been silent for readiness.silence, otherwise 1",
        "min",
        async () => (isDown(await lookOnce()) ? 0 : 1),
      );
      new Gauge({
        name: `${PREFIX}upstream_state`,
        help: "1 for the current state of Glance (answers, slow, busy, silent or unreachable), 0 for the others",
        labelNames: ["state"],
        aggregator: "max",
        registers,
        async collect() {
          const current = await lookOnce();
          for (const state of GLANCE_STATES) this.set({ state }, state === current ? 1 : 0);
        },
      });
    },
    relayChosen(relay) {
      relayInfo.reset();
      relayInfo.set({ relay }, 1);
    },
    watchLog(watched) {
      log = watched;
    },
    watchCertificates(expiries) {
      new Gauge({
        name: `${PREFIX}tls_certificate_expiry_timestamp_seconds`,
        help: "Expiry of the certificate presented to clients (listen) or to Glance (upstream), in seconds since 1970",
        labelNames: ["side"],
        aggregator: "min", // of processes with different ones, that which ends first
        registers,
        collect() {
          this.reset();
          for (const side of ["listen", "upstream"] as const) {
            const expiry = expiries[side]();
            if (expiry !== undefined) this.set({ side }, expiry);
          }
        },
      });
    },
  };
}
