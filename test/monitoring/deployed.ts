/** What `deploy/` holds for Prometheus and Grafana, as the tests see it. */
import { readFileSync } from "node:fs";
import { parse } from "yaml";

export interface Target {
  readonly refId: string;
  readonly expr: string;
  readonly legendFormat?: string;
}

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly datasource?: object;
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } };
  readonly targets?: readonly Target[];
}

export interface Dashboard {
  readonly id: number | null;
  readonly schemaVersion: number;
  readonly templating: {
    readonly list: readonly {
      readonly name: string;
      readonly definition?: string;
      readonly datasource?: object;
    }[];
  };
  readonly panels: readonly Panel[];
}

export interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface Recording {
  readonly record: string;
  readonly expr: string;
}

export const DASHBOARD_FILE = "deploy/grafana/glance-size-proxy.json";
export const RULES_FILE = "deploy/prometheus/rules.yaml";
export const RULES_TEST_FILE = "deploy/prometheus/rules.test.yaml";
export const SCRAPE_FILE = "deploy/prometheus/prometheus.yaml";
export const GUIDE_FILE = "docs/operations.md";

export const dashboard = JSON.parse(readFileSync(DASHBOARD_FILE, "utf8")) as Dashboard;

/** Those that show something, with at least one query each. */
export const panels = dashboard.panels.filter(({ type }) => type !== "row");

const { groups } = parse(readFileSync(RULES_FILE, "utf8")) as {
  groups: readonly { readonly rules: readonly (Alert | Recording)[] }[];
};
const rules = groups.flatMap((group) => group.rules);

export const alerts = rules.filter((rule) => "alert" in rule);
export const recordings = rules.filter((rule) => "record" in rule);
