/** The kinds of panels that the dashboard consists of. Pure. */
import { PanelBuilder as BarGauge } from "@grafana/grafana-foundation-sdk/bargauge";
import type { Builder } from "@grafana/grafana-foundation-sdk/cog";
import {
  BarGaugeDisplayMode,
  BarGaugeValueMode,
  BigValueGraphMode,
  BigValueTextMode,
  GraphDrawStyle,
  ReduceDataOptionsBuilder,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizOrientation,
  VizTooltipOptionsBuilder,
} from "@grafana/grafana-foundation-sdk/common";
import {
  FieldColorBuilder,
  FieldColorModeId,
  MappingType,
  type Panel,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  type ValueMapping,
} from "@grafana/grafana-foundation-sdk/dashboard";
import { DataqueryBuilder } from "@grafana/grafana-foundation-sdk/prometheus";
import { PanelBuilder as Stat } from "@grafana/grafana-foundation-sdk/stat";
import { PanelBuilder as StateTimeline } from "@grafana/grafana-foundation-sdk/statetimeline";
import { PanelBuilder as TimeSeries } from "@grafana/grafana-foundation-sdk/timeseries";
import { quantile } from "./queries.js";

export const DATA_SOURCE = { type: "prometheus", uid: "${datasource}" };

/** Title, width in 24ths of the page, unit, and what the title does not say. */
export interface Look {
  readonly title: string;
  readonly span: number;
  readonly unit: string;
  readonly description?: string;
}

/** Each query with the name of its series; `{{label}}` stands for the value of a label. */
export type Queries = readonly (readonly [name: string, expression: string])[];

/** From a value on, a colour. The first value does not matter: it stands for all smaller ones. */
export type Steps = readonly (readonly [from: number, colour: string])[];

const HEIGHT = 8;
const STAT_HEIGHT = 4;
/** With the scrape interval of deploy/prometheus, each bar contains four scrapes or more. */
const MIN_BAR = "2m";
/** A bar needs some pixels, or its value cannot be read. */
const MAX_BARS = 90;

/** Values of the expression of `glanceState`, with the names and colours of the states. */
const STATES: ValueMapping[] = [
  {
    type: MappingType.ValueToText,
    options: {
      "0": { text: "answers", color: "green" },
      "1": { text: "slow", color: "yellow" },
      "2": { text: "busy", color: "orange" },
      "3": { text: "silent", color: "red" },
      "4": { text: "unreachable", color: "dark-red" },
    },
  },
];

/** One number. */
export function stat(look: Look, query: string, steps: Steps = [[0, "text"]], name = ""): Stat {
  return describe(new Stat(), look)
    .height(STAT_HEIGHT)
    .thresholds(thresholds(steps))
    .graphMode(BigValueGraphMode.None)
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(["lastNotNull"]))
    .withTarget(target("A", name, query).instant());
}

/** A time for each series, which the query has in seconds since 1970. */
export function times(look: Omit<Look, "unit">, query: string, name: string): Stat {
  return stat({ ...look, unit: "dateTimeAsIso" }, `${query} * 1000`, [[0, "text"]], name)
    .height(HEIGHT)
    .textMode(BigValueTextMode.ValueAndName);
}

/** The state of Glance, as one word. */
export function stateStat(look: Look, query: string): Stat {
  return stat(look, query).mappings(STATES);
}

/** The state of Glance over time. */
export function stateTimeline(look: Look, queries: Queries): StateTimeline {
  return describe(new StateTimeline(), look)
    .height(HEIGHT)
    .mappings(STATES)
    .showValue(VisibilityMode.Never)
    .legend(new VizLegendOptionsBuilder().showLegend(false))
    .targets(targets(queries));
}

/** Values over time. */
export function lines(look: Look, queries: Queries): TimeSeries {
  return plot(look).fillOpacity(10).targets(targets(queries));
}

/** Numbers of events over time: each bar counts the events since the bar before it. */
export function bars(look: Look, queries: Queries): TimeSeries {
  return plot(look)
    .interval(MIN_BAR)
    .maxDataPoints(MAX_BARS)
    .drawStyle(GraphDrawStyle.Bars)
    .fillOpacity(70)
    .lineWidth(0)
    .stacking(new StackingConfigBuilder().mode(StackingMode.Normal).group("A"))
    .targets(targets(queries));
}

/** Values of the whole time range, side by side. */
export function gauges(look: Look, queries: Queries): BarGauge {
  return describe(new BarGauge(), look)
    .height(HEIGHT)
    .min(0)
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.PaletteClassic))
    .orientation(VizOrientation.Horizontal)
    .displayMode(BarGaugeDisplayMode.Basic)
    .valueMode(BarGaugeValueMode.Text)
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(["lastNotNull"]))
    .targets(targets(queries).map((query) => query.instant()));
}

/** Half, nearly all, and all but one in a hundred. @param label of the histogram, which gets quantiles for each of its values. */
export function quantiles(histogram: string, label?: string): Queries {
  return [0.5, 0.95, 0.99].map((share) => {
    const name = `p${share * 100}`;
    return label === undefined
      ? [name, quantile(share, histogram)]
      : [`{{${label}}} ${name}`, quantile(share, histogram, label)];
  });
}

function plot(look: Look): TimeSeries {
  return describe(new TimeSeries(), look)
    .height(HEIGHT)
    .min(0)
    .showPoints(VisibilityMode.Never)
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending));
}

interface Describable extends Builder<Panel> {
  title(title: string): this;
  span(width: number): this;
  unit(unit: string): this;
  description(description: string): this;
  datasource(source: typeof DATA_SOURCE): this;
}

function describe<Kind extends Describable>(panel: Kind, { title, span, unit, description }: Look): Kind {
  panel.title(title).span(span).unit(unit).datasource(DATA_SOURCE);
  return description === undefined ? panel : panel.description(description);
}

function targets(queries: Queries): DataqueryBuilder[] {
  return queries.map(([name, expression], index) =>
    target(String.fromCharCode(65 + index), name, expression),
  );
}

function target(refId: string, name: string, expression: string): DataqueryBuilder {
  const query = new DataqueryBuilder().refId(refId).expr(expression);
  return name === "" ? query : query.legendFormat(name);
}

function thresholds(steps: Steps): ThresholdsConfigBuilder {
  return new ThresholdsConfigBuilder()
    .mode(ThresholdsMode.Absolute)
    .steps(steps.map(([value, color], index) => ({ value: index === 0 ? null : value, color })));
}
