/** The dashboard's file: what Grafana needs to import it and to show each panel. */
import { describe, expect, it } from "vitest";
import { dashboard, panels } from "./deployed.js";

const DATA_SOURCE = { type: "prometheus", uid: "${datasource}" };

describe("the dashboard", () => {
  it("can be imported anywhere: it has no id of its own, and asks for its data source", () => {
    expect(dashboard).toMatchObject({ id: null, schemaVersion: 42 });
    const [first, ...others] = dashboard.templating.list;
    expect(first).toMatchObject({ name: "datasource", type: "datasource", query: "prometheus" });
    expect(others.map(({ name }) => name)).toEqual(["job", "instance"]);
    for (const { datasource } of [...others, ...panels]) expect(datasource).toEqual(DATA_SOURCE);
  });

  it("gives each panel its own id and place", () => {
    const ids = dashboard.panels.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const taken = new Map<string, string>();
    for (const { title, gridPos } of dashboard.panels) {
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
          expect(taken.get(`${x},${y}`), `${title} lies on`).toBeUndefined();
          taken.set(`${x},${y}`, title);
        }
      }
    }
  });

  it.each(["config_last_reload_success_timestamp_seconds", "config_hash", "config_reloads_total"])(
    "tells of the configuration: a panel shows %s",
    (metric) => {
      const queries = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
      expect(queries.filter((expr) => expr.includes(`glance_size_proxy_${metric}{`))).toHaveLength(1);
    },
  );

  it.each(panels)("$title has a unit, and queries for the job and instances chosen", (panel) => {
    expect(panel.fieldConfig?.defaults.unit).toBeTypeOf("string");
    const { targets = [] } = panel;
    expect(targets).not.toEqual([]);
    expect(new Set(targets.map(({ refId }) => refId)).size).toBe(targets.length);
    for (const { expr } of targets) {
      const selectors = expr.match(/\w+\{[^}]*\}/g) ?? [];
      expect(selectors).not.toEqual([]);
      for (const selector of selectors) {
        expect(selector).toMatch(/^\w+\{job=~"\$job",instance=~"\$instance"[,}]/);
      }
      const plotted = panel.type === "timeseries" ? "$__interval" : "$__range";
      expect(expr.match(/\[[^\]]*\]/g) ?? [], expr).toEqual(
        (expr.match(/\b(rate|increase)\(/g) ?? []).map((name) =>
          name === "rate(" ? "[$__rate_interval]" : `[${plotted}]`,
        ),
      );
    }
  });
});
