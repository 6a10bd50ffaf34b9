/** The rows of the dashboard, from top to bottom, with their panels. Pure. */
import type { Builder } from "@grafana/grafana-foundation-sdk/cog";
import { BigValueTextMode } from "@grafana/grafana-foundation-sdk/common";
import type { Panel } from "@grafana/grafana-foundation-sdk/dashboard";
import {
  bars,
  gauges,
  lines,
  quantiles,
  type Queries,
  stat,
  stateStat,
  stateTimeline,
  times,
} from "./panels.js";
import { glanceState, inRange, perBar, perSecond, series, sum, UP } from "./queries.js";

export type Panels = readonly Builder<Panel>[];

const DAY_SECONDS = 86_400;

const OVERVIEW: Panels = [
  stat(
    {
      title: "Proxies",
      span: 3,
      unit: "short",
      description: "Number of instances that Prometheus can scrape.",
    },
    sum(UP),
    [
      [0, "red"],
      [1, "green"],
    ],
  ),
  stateStat(
    {
      title: "Glance",
      span: 3,
      unit: "short",
      description:
        "The worst state that any instance reports. Silent: Glance has not responded for readiness.silence.",
    },
    `max(${glanceState()})`,
  ),
  stat({ title: "Uploads in flight", span: 3, unit: "short" }, sum(series("uploads_in_flight"))),
  stat(
    {
      title: "Completed uploads",
      span: 3,
      unit: "percentunit",
      description: "Share of the uploads that finished in the selected time range.",
    },
    `${sum(inRange(series("uploads_total", 'outcome="completed"')))} / ${sum(inRange(series("uploads_total")))}`,
  ).decimals(1),
  stat(
    {
      title: "Images not rolled back",
      span: 4,
      unit: "short",
      description:
        "Aborted uploads in the selected time range whose image was not queued again in time, or is active.",
    },
    sum(inRange(series("rollbacks_total", 'result=~"timeout|active"'))),
    [
      [0, "green"],
      [0.5, "red"],
    ],
  ).decimals(0),
  stat(
    {
      title: "Certificate expires in",
      span: 4,
      unit: "s",
      description: "The certificate in use that expires first, on either side.",
    },
    `min(${series("tls_certificate_expiry_timestamp_seconds")}) - time()`,
    [
      [0, "red"],
      [7 * DAY_SECONDS, "orange"],
      [14 * DAY_SECONDS, "green"],
    ],
  ).noValue("no TLS"),
  stat(
    { title: "Version", span: 4, unit: "short" },
    `count by (version) (${series("build_info")})`,
    [[0, "text"]],
    "{{version}}",
  ).textMode(BigValueTextMode.Name),
];

const UPLOADS: Panels = [
  bars({ title: "Uploads by outcome", span: 12, unit: "short" }, [
    ["{{outcome}}", sum(perBar(series("uploads_total")), "outcome")],
  ]),
  bars({ title: "Uploads by size source", span: 12, unit: "short" }, [
    ["{{size_source}}", sum(perBar(series("uploads_total")), "size_source")],
  ]),
  lines({ title: "Uploads in flight", span: 8, unit: "short" }, [
    ["{{operation}}", sum(series("uploads_in_flight"), "operation")],
  ]),
  gauges({ title: "Size of completed uploads", span: 8, unit: "bytes" }, quantiles("upload_size_bytes")),
  bars({ title: "Uploads received chunked, sent with Content-Length", span: 8, unit: "short" }, [
    ["{{operation}}", sum(perBar(series("reframed_uploads_total")), "operation")],
  ]),
];

/** For whom uploads wait: the histograms, of which the last is a part of the one before it. */
const SIDES = [
  ["for the client", "upload_wait_client_seconds"],
  ["for Glance", "upload_wait_glance_seconds"],
  ["for its answer", "upload_last_byte_to_answer_seconds"],
] as const;

/** Seconds that uploads waited, without counting any twice. @param over the time over which they are added. */
function waits(over: typeof inRange): Queries {
  const [client, glance, answer] = SIDES.map(([, histogram]) => sum(over(series(`${histogram}_sum`))));
  return [
    ["for the client", `${client}`],
    ["for Glance, before the last byte", `${glance} - ${answer}`],
    ["for Glance, after the last byte", `${answer}`],
  ];
}

const SLOW_SIDE: Panels = [
  gauges(
    {
      title: "Where the time of uploads goes",
      span: 8,
      unit: "percentunit",
      description:
        "Shares of the duration of the uploads that finished in the selected time range. The side with the longest bar limits the speed.",
    },
    waits(inRange).map(([name, query]) => [
      name,
      `(${query}) / ${sum(inRange(series("upload_duration_seconds_sum")))}`,
    ]),
  ).max(1),
  bars(
    {
      title: "Time that uploads waited",
      span: 8,
      unit: "s",
      description: "An upload counts when it finishes.",
    },
    waits(perBar),
  ),
  gauges(
    { title: "Waits of one upload", span: 8, unit: "s" },
    SIDES.flatMap(([name, histogram]) =>
      quantiles(histogram).map(([share, query]) => [`${share} ${name}`, query] as const),
    ),
  ),
  lines(
    {
      title: "For whom uploads wait now",
      span: 8,
      unit: "short",
      description:
        "Uploads in flight at each scrape. Two lines of the same height: the sides take turns, and neither is the slow one.",
    },
    [["{{for}}", sum(series("uploads_waiting"), "for")]],
  ),
  lines({ title: "Image data", span: 8, unit: "Bps" }, [
    ["from clients, {{operation}}", sum(perSecond(series("upload_received_bytes_total")), "operation")],
    ["to Glance, {{operation}}", sum(perSecond(series("upload_forwarded_bytes_total")), "operation")],
  ]),
  gauges(
    { title: "Duration of uploads", span: 8, unit: "s" },
    quantiles("upload_duration_seconds", "operation"),
  ),
];

const UNDECLARED: Panels = [
  bars({ title: "Uploads without a declared size, by client", span: 8, unit: "short" }, [
    ["{{client}}", sum(perBar(series("undeclared_uploads_total")), "client")],
  ]),
  lines(
    { title: "Spool", span: 8, unit: "bytes", description: "Image data stored until its size is known." },
    [
      ["{{instance}}", sum(series("spool_bytes"), "instance")],
      ["limit of {{instance}}", sum(series("spool_limit_bytes"), "instance")],
    ],
  ),
  lines({ title: "Uploads in the spool", span: 4, unit: "short" }, [
    ["{{instance}}", sum(series("spool_uploads"), "instance")],
  ]),
  bars(
    {
      title: "Spool limits reached",
      span: 4,
      unit: "short",
      description: "Which limit was reached: per upload, total or disk.",
    },
    [["{{reason}}", sum(perBar(series("spool_full_total")), "reason")]],
  ),
];

const ROLLBACK: Panels = [
  bars(
    {
      title: "Images after an aborted upload",
      span: 8,
      unit: "short",
      description: "queued: Glance has rolled back. timeout and active: look at the image.",
    },
    [["{{result}}", sum(perBar(series("rollbacks_total")), "result")]],
  ),
  gauges(
    {
      title: "Time until the image was queued again",
      span: 8,
      unit: "s",
      description: "Or until the proxy stopped checking, after rollback.timeout.",
    },
    quantiles("rollback_duration_seconds"),
  ),
  bars(
    {
      title: "Lost answers and replays",
      span: 8,
      unit: "short",
      description:
        "Uploads that Glance did not answer, by what became of the image; and retries of clients that did not rewind the file.",
    },
    [
      ["answer lost, {{result}}", sum(perBar(series("recovered_answers_total")), "result")],
      ["replay refused", sum(perBar(series("replays_refused_total")))],
    ],
  ),
];

const GLANCE: Panels = [
  stateTimeline(
    {
      title: "Glance",
      span: 8,
      unit: "short",
      description: "State at each scrape. Busy: no answer within 2 s, but data flows on its connections.",
    },
    [["{{instance}}", glanceState()]],
  ),
  bars({ title: "Failures between the proxy and Glance", span: 8, unit: "short" }, [
    ["{{kind}}", sum(perBar(series("upstream_errors_total")), "kind")],
  ]),
  bars(
    {
      title: "Server errors",
      span: 8,
      unit: "short",
      description: "Answers with a status of 500 or more, of Glance or of the proxy.",
    },
    [["{{status}}", sum(perBar(series("requests_total", 'status=~"5.."')), "status")]],
  ),
];

const REQUESTS: Panels = [
  bars({ title: "Requests by method", span: 8, unit: "short" }, [
    ["{{method}}", sum(perBar(series("requests_total")), "method")],
  ]),
  bars(
    {
      title: "Requests by status",
      span: 8,
      unit: "short",
      description: "499: the client disconnected before the answer.",
    },
    [["{{status}}", sum(perBar(series("requests_total")), "status")]],
  ),
  bars({ title: "Imports by method", span: 8, unit: "short" }, [
    ["{{method}}", sum(perBar(series("imports_total")), "method")],
  ]),
  gauges(
    { title: "Duration of requests", span: 24, unit: "s" },
    quantiles("request_duration_seconds", "method"),
  ),
];

const CONFIGURATION: Panels = [
  times(
    {
      title: "Configuration in force since",
      span: 8,
      description:
        "When the instance took its configuration over: at its start, or at the last successful reload.",
    },
    `max by (instance) (${series("config_last_reload_success_timestamp_seconds")})`,
    "{{instance}}",
  ),
  lines(
    {
      title: "Instances by configuration",
      span: 8,
      unit: "short",
      description:
        "A line for each configuration that is in force, under the hash that the log line of a reload has. Two lines for long: some instances have another configuration.",
    },
    [["{{hash}}", `count_values("hash", ${series("config_hash")})`]],
  ),
  bars(
    {
      title: "Reloads",
      span: 8,
      unit: "short",
      description: "failure: nothing has changed, and the log says what is wrong with the new configuration.",
    },
    [["{{result}}, {{instance}}", sum(perBar(series("config_reloads_total")), "result", "instance")]],
  ),
];

const PROCESS: Panels = [
  lines({ title: "CPU", span: 5, unit: "percentunit", description: "1 is one core." }, [
    ["{{instance}}", sum(perSecond(series("process_cpu_seconds_total")), "instance")],
  ]),
  lines({ title: "Resident memory", span: 5, unit: "bytes" }, [
    ["{{instance}}", sum(series("process_resident_memory_bytes"), "instance")],
  ]),
  lines(
    {
      title: "Event loop delay",
      span: 5,
      unit: "s",
      description: "How late the process gets to its work. Alert: more than 0.2 s for ten minutes.",
    },
    [["p99 {{instance}}", `max by (instance) (${series("nodejs_eventloop_lag_p99_seconds")})`]],
  ),
  lines({ title: "Open file descriptors", span: 5, unit: "short" }, [
    ["{{instance}}", sum(series("process_open_fds"), "instance")],
    ["limit of {{instance}}", sum(series("process_max_fds"), "instance")],
  ]),
  bars({ title: "Dropped log lines", span: 4, unit: "short" }, [
    ["{{instance}}", sum(perBar(series("log_lines_dropped_total")), "instance")],
  ]),
];

export const ROWS: readonly (readonly [title: string, panels: Panels])[] = [
  ["Overview", OVERVIEW],
  ["Uploads", UPLOADS],
  ["Which side is slow", SLOW_SIDE],
  ["Uploads without a declared size", UNDECLARED],
  ["Aborted uploads", ROLLBACK],
  ["Glance", GLANCE],
  ["Requests, including uploads", REQUESTS],
  ["Configuration", CONFIGURATION],
  ["Process", PROCESS],
];
