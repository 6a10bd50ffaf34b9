/** The dashboard's queries, for the job and the instances that are selected in Grafana. Pure. */
const PREFIX = "glance_size_proxy_";
const SELECTED = 'job=~"$job",instance=~"$instance"';

/** The series of a metric. @param more further matchers, such as `outcome="completed"`. */
export function series(metric: string, ...more: readonly string[]): string {
  return `${PREFIX}${metric}{${[SELECTED, ...more].join(",")}}`;
}

export function sum(expression: string, ...labels: readonly string[]): string {
  return `sum${labels.length === 0 ? "" : ` by (${labels.join(", ")}) `}(${expression})`;
}

/** How often something happened within each bar of the plot. */
export function perBar(selected: string): string {
  return `increase(${selected}[$__interval])`;
}

/** How often something happened within the time range of the dashboard. */
export function inRange(selected: string): string {
  return `increase(${selected}[$__range])`;
}

export function perSecond(selected: string): string {
  return `rate(${selected}[$__rate_interval])`;
}

/** A quantile of all observations within the time range: within a shorter time there may be none. */
export function quantile(share: number, histogram: string, ...labels: readonly string[]): string {
  const buckets = inRange(series(`${histogram}_bucket`));
  return `histogram_quantile(${share}, ${sum(buckets, "le", ...labels)})`;
}

/** The state of Glance as a number, per instance: its place in `STATES` of panels.ts. */
export function glanceState(): string {
  return ["slow", "busy", "silent", "unreachable"]
    .map((state, index) => {
      const isCurrent = sum(series("upstream_state", `state="${state}"`), "instance");
      return index === 0 ? isCurrent : `${index + 1} * ${isCurrent}`;
    })
    .join(" + ");
}

/** Whether Prometheus can scrape an instance. */
export const UP = `up{${SELECTED}}`;

/** Has one series per job and instance, so the variables of the dashboard come from it. */
export const INSTANCES = `${PREFIX}build_info`;
