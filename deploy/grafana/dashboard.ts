/**
 * The dashboard of glance-size-proxy.json. `npm run reference` writes that file from this one, and a test compares them.
 */
import {
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  RowBuilder,
  VariableRefresh,
  VariableSort,
} from "@grafana/grafana-foundation-sdk/dashboard";
import { DATA_SOURCE } from "./panels.js";
import { INSTANCES } from "./queries.js";
import { type Panels, ROWS } from "./rows.js";

export function buildDashboard(): Dashboard {
  const dashboard = new DashboardBuilder("glance-size-proxy")
    .uid("glance-size-proxy")
    .id(null)
    .description("Image uploads through glance-size-proxy.")
    .tags(["glance", "openstack"])
    .editable()
    .tooltip(DashboardCursorSync.Crosshair)
    .time({ from: "now-6h", to: "now" })
    .refresh("30s")
    .withVariable(
      new DatasourceVariableBuilder("datasource")
        .label("Data source")
        .type("prometheus")
        .current({ text: "default", value: "default" }),
    )
    .withVariable(choice("job", "Job", `label_values(${INSTANCES}, job)`))
    .withVariable(choice("instance", "Instance", `label_values(${INSTANCES}{job=~"$job"}, instance)`));
  for (const [title, panels] of ROWS) addRow(dashboard, title, panels);
  const built = dashboard.build();
  // A number for each panel, by which links and embedded panels name it.
  for (const [index, panel] of (built.panels ?? []).entries()) panel.id = index + 1;
  return built;
}

/** A variable whose values come from Prometheus. */
function choice(name: string, label: string, definition: string): QueryVariableBuilder {
  return new QueryVariableBuilder(name)
    .label(label)
    .datasource(DATA_SOURCE)
    .definition(definition)
    .query({ query: definition, refId: name })
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalAsc)
    .multi(true)
    .includeAll(true)
    .current({ text: ["All"], value: ["$__all"] });
}

function addRow(dashboard: DashboardBuilder, title: string, panels: Panels): void {
  dashboard.withRow(new RowBuilder(title));
  for (const panel of panels) dashboard.withPanel(panel);
}
