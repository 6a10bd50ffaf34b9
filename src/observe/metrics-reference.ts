/** Describes each metric: its unit, its labels and the meaning of each label value. Pure. */
import type { UpstreamErrorKind } from "../vocabulary/errors.js";
import type {
  ClientKind,
  GlanceState,
  HookResult,
  ImportRefusalReason,
  Operation,
  RecoveryResult,
  RollbackResult,
  SizeSource,
  SpoolBound,
  WaitsFor,
} from "../vocabulary/labels.js";
import type { Outcome, Verdict } from "../vocabulary/outcomes.js";
import type { ReloadResult } from "./config-metrics.js";
import { PREFIX } from "./metric-makers.js";
import { createMetrics, type Metrics } from "./metrics.js";

type Meanings<Value extends string> = Readonly<Record<Value, string>>;

const OPERATIONS: Meanings<Operation> = {
  file: "`PUT /v2/images/{image_id}/file`",
  stage: "`PUT /v2/images/{image_id}/stage`",
};

const OUTCOMES: Meanings<Outcome> = {
  completed: "Glance accepted the upload.",
  size_exceeded:
    "The body has more bytes than the client declared, or two declared sizes differ. Answered 400.",
  size_mismatch:
    "The body has fewer bytes than the client declared, two declared sizes differ, or the upload was refused as a replay. Answered 400.",
  digest_mismatch: "A digest that the client sent is malformed, or the body has another. Answered 400.",
  invalid_size: "A size header is not a plain decimal number given once. Answered 400.",
  too_large: "The image is larger than `limits.maxImageSize` or `spool.maxPerUpload`. Answered 413.",
  length_required:
    "The client declared no size, and `size.unknown` or a rule of `size.rules` is `reject`. Answered 411.",
  busy: "`limits.maxConcurrentUploads` was reached (429), or the spool was full (507).",
  client_aborted: "The client closed the connection, or sent a malformed body.",
  client_timeout: "The client sent nothing for `limits.idleTimeout`. Answered 408.",
  upstream_rejected: "Glance refused the upload. Its answer was passed on.",
  upstream_error: "Glance could not be reached or failed, or the proxy itself failed.",
};

const VERDICTS: Meanings<Verdict> = {
  ...OUTCOMES,
  content_range: "The request has a `Content-Range`. It would have been answered 400.",
};

const SIZE_SOURCES: Meanings<SizeSource> = {
  header: "`x-openstack-image-size`",
  hint: "A header of `size.hints`.",
  content_length: "`Content-Length`",
  spooled: "The proxy stored the whole body and counted it.",
  unknown: "The client declared no size.",
};

const CLIENTS: Meanings<ClientKind> = {
  glanceclient: "python-glanceclient, also in Nova, Cinder and Horizon.",
  openstacksdk: "openstacksdk, python-openstackclient, keystoneauth.",
  gophercloud: "gophercloud, also in terraform.",
  curl: "curl",
  browser: "A web browser.",
  other: "Any other `User-Agent`, or none.",
};

const ROLLBACK_RESULTS: Meanings<RollbackResult> = {
  queued: "Glance has rolled the image back.",
  timeout: "The image was still `saving` or `uploading` after `rollback.timeout`.",
  active: "Glance reports the image as `active`: its data may be wrong.",
  unknown: "The proxy could not check the image, or did not see Glance start the upload.",
};

const RECOVERY_RESULTS: Meanings<RecoveryResult> = {
  success: "The image has all bytes that were sent. The client got the success answer.",
  queued: "Glance has rolled the image back. The client got 502.",
  unknown: "The proxy could not find out. The client got 504.",
};

const HOOK_RESULTS: Meanings<HookResult> = {
  delivered: "The receiver answered 2xx.",
  retried: "The request failed. The proxy tries again.",
  failed: "The request failed. The proxy does not try again. The log has the reason.",
  dropped: "The hook was given up because `hooks.queue` was full or the proxy ended.",
};

const RELOAD_RESULTS: Meanings<ReloadResult> = {
  success: "The new configuration is in force.",
  failure: "The new configuration has a fault. The old one stays in force as a whole.",
};

const WAITS_FOR: Meanings<WaitsFor> = {
  client: "The client must send.",
  glance: "Glance must connect, read, answer or put the image back.",
  spool: "The disk of the spool must write or read.",
};

const SPOOL_BOUNDS: Meanings<SpoolBound> = {
  per_upload: "`spool.maxPerUpload`",
  total: "`spool.maxTotal`",
  disk: "The file system of `spool.dir` is full or not writable.",
};

const IMPORT_REFUSALS: Meanings<ImportRefusalReason> = {
  method: "The method is not in `import.methods`, or the type of a task is unknown.",
  scheme: "The scheme of the URI is not in `import.webDownload.schemes`.",
  host: "The host of the URI is not in `import.webDownload.hosts`.",
  denied: "The host of the URI is in `import.webDownload.deny`.",
  address: "The host of the URI is not public.",
  uri: "Programs could read the URI in different ways.",
  body: "The body of the request is not JSON, or too large.",
};

const ERROR_KINDS: Meanings<UpstreamErrorKind> = {
  connect: "The connection to Glance could not be opened, or TLS failed.",
  connect_timeout: "The connection was not open within `upstream.connectTimeout`.",
  timeout: "Glance neither read nor answered for `upstream.responseTimeout`.",
  reset: "The connection ended before the answer.",
  protocol: "The answer is not valid HTTP.",
  early_success: "Glance answered an upload with success before its body ended.",
  truncated: "The connection ended in the middle of the answer.",
  framing: "The request contains bytes that its headers do not announce. The connection was closed.",
};

const GLANCE_STATES: Meanings<GlanceState> = {
  answers: "Glance answered within 1 s.",
  slow: "Glance answered after more than 1 s.",
  busy: "Glance has not answered within 2 s, and has been idle for less than `readiness.silence`.",
  silent: "Glance has neither read nor answered anything for `readiness.silence`, although the proxy asked.",
  unreachable: "Connections to Glance fail.",
};

const RELAYS: Meanings<Parameters<Metrics["relayChosen"]>[0]> = {
  raw: "Directly from the socket, into one reused buffer.",
  stream: "Through Node's streams.",
};

const SIDES: Meanings<keyof Parameters<Metrics["watchCertificates"]>[0]> = {
  listen: "The certificate presented to clients.",
  upstream: "The certificate presented to Glance.",
  admin: "The certificate presented to operators.",
};

/** Values by label, or by metric and label if several metrics have the label. A text describes values that cannot be listed. */
export const LABELS: Readonly<Record<string, Meanings<string> | string>> = {
  operation: OPERATIONS,
  outcome: OUTCOMES,
  verdict: VERDICTS,
  size_source: SIZE_SOURCES,
  for: WAITS_FOR,
  client: CLIENTS,
  "rollbacks_total.result": ROLLBACK_RESULTS,
  "recovered_answers_total.result": RECOVERY_RESULTS,
  "imports_refused_total.reason": IMPORT_REFUSALS,
  "hooks_total.result": HOOK_RESULTS,
  "config_reloads_total.result": RELOAD_RESULTS,
  reason: SPOOL_BOUNDS,
  rule: "The index of a rule in `size.rules`, from `0`; `default` if no rule matched and `size.unknown` decided.",
  policy: "What the rule says: `forward`, `spool` or `reject`.",
  "imports_total.method":
    "The import method: `glance-direct`, `web-download`, `glance-download`, `copy-image` or `other`.",
  method: "The HTTP method: `GET`, `HEAD`, `POST`, `PUT`, `PATCH`, `DELETE`, `OPTIONS` or `other`.",
  status: "The status of the answer, such as `204`; `499` if the client disconnected before the answer.",
  kind: ERROR_KINDS,
  state: GLANCE_STATES,
  version: "The version of the proxy, such as `0.1.0`.",
  relay: RELAYS,
  side: SIDES,
};

/** The units that are not part of the metric's name. */
const COUNTED: Readonly<Record<string, string>> = {
  uploads_total: "uploads",
  uploads_in_flight: "uploads",
  uploads_waiting: "uploads",
  uploads_observed_total: "uploads",
  reframed_uploads_total: "uploads",
  undeclared_uploads_total: "uploads",
  unknown_size_rules_total: "uploads",
  rollbacks_total: "uploads",
  recovered_answers_total: "uploads",
  replays_refused_total: "uploads",
  spool_full_total: "events",
  spool_uploads: "uploads",
  hooks_total: "requests",
  hooks_queued: "hooks",
  imports_total: "requests",
  imports_refused_total: "requests",
  requests_total: "requests",
  upstream_errors_total: "failures",
  log_lines_dropped_total: "lines",
  config_reloads_total: "reloads",
  config_hash: "none",
  config_retired_workers: "processes",
  build_info: "1",
  relay_info: "1",
  upstream_up: "0 or 1",
  upstream_state: "0 or 1",
  process_open_fds: "descriptors",
  process_max_fds: "descriptors",
  nodejs_active_resources: "resources",
  nodejs_active_handles: "handles",
  nodejs_active_requests: "requests",
  nodejs_version_info: "1",
};

/** How the values of several workers are combined, by prom-client's name of the aggregator. */
const TOGETHER: Readonly<Record<string, string>> = {
  sum: "sum",
  min: "smallest",
  max: "largest",
  first: "first",
  average: "average",
  omit: "left out",
};

export interface DescribedMetric {
  /** Without the prefix. */
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly unit: string;
  readonly labels: readonly string[];
  readonly together: string;
  /** The upper bounds of a histogram. */
  readonly buckets?: readonly number[];
  /** Whether the metric is one of prom-client's default metrics. */
  readonly isOfProcess: boolean;
}

/** Every metric that a proxy can have. */
export function describeMetrics(): DescribedMetric[] {
  const metrics = createMetrics();
  metrics.watchSpool({ usedBytes: 0, uploads: 0, maxBytes: 1 });
  metrics.watchHooks({ queued: 0 });
  metrics.watchUploads(() => []);
  metrics.watchUpstream(() => Promise.resolve("answers"));
  metrics.watchConfig();
  metrics.watchCertificates({ listen: () => undefined, upstream: () => undefined });
  return metrics.registry.getMetricsAsArray().map((metric) => {
    // prom-client's objects have these properties, but its types do not.
    const { labelNames, upperBounds, type, aggregator } = metric as unknown as {
      labelNames: readonly string[];
      upperBounds?: readonly number[];
      type: string;
      aggregator: string;
    };
    const name = metric.name.slice(PREFIX.length);
    return {
      name,
      type,
      help: metric.help.replace(/\.$/, ""),
      unit: unitOf(name),
      labels: labelNames,
      together: TOGETHER[aggregator] ?? aggregator,
      ...(upperBounds === undefined ? {} : { buckets: upperBounds }),
      isOfProcess: /^(process|nodejs)_/.test(name),
    };
  });
}

function unitOf(name: string): string {
  const counted = COUNTED[name];
  if (counted !== undefined) return counted;
  if (/_(timestamp|start_time)_seconds$/.test(name)) return "seconds since 1970";
  const [, unit] = /_(seconds|bytes)(?:_total)?$/.exec(name) ?? [];
  if (unit === undefined) throw new Error(`${name} needs a unit in src/observe/metrics-reference.ts`);
  return unit;
}

/** @returns the key of {@link LABELS} for a label of a metric. */
export function labelKey(metric: string, label: string): string {
  const key = `${metric}.${label}`;
  return key in LABELS ? key : label;
}
