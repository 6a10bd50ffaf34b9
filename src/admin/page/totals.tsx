/** The numbers at the top of the page: uploads in flight, rates, and outcomes since the start. */
import { type Outcome, type OutcomeKind, outcomeKind } from "../../vocabulary/outcomes.js";
import { formatBytes, formatCount, formatSteadyRate, words } from "./format.js";
import type { ViewModel } from "./view-model.js";

export function Totals({ viewModel: { overview, moving, throughput } }: { viewModel: ViewModel }) {
  const { receivedBytes, forwardedBytes, outcomes } = overview.totals;
  const unknown = moving.filter(({ declaredBytes }) => declaredBytes === undefined).length;
  return (
    <dl class="totals" aria-label="Totals">
      <Figure
        name="In flight"
        value={formatCount(moving.length)}
        more={unknown > 0 ? `${unknown} of unknown size` : ""}
      />
      <Figure
        name="From clients"
        value={rate(throughput.received)}
        more={`${formatBytes(receivedBytes)} in total`}
      />
      <Figure
        name="To Glance"
        value={rate(throughput.forwarded)}
        more={`${formatBytes(forwardedBytes)} in total`}
      />
      {(["completed", "refused", "failed"] as const).map((kind) => (
        <Ended key={kind} kind={kind} outcomes={outcomes} />
      ))}
    </dl>
  );
}

function Ended({ kind, outcomes }: { kind: OutcomeKind; outcomes: Readonly<Record<Outcome, number>> }) {
  const seen = Object.entries(outcomes)
    .filter(([outcome, count]) => count > 0 && outcomeKind(outcome as Outcome) === kind)
    .sort(([, one], [, other]) => other - one);
  const sum = seen.reduce((total, [, count]) => total + count, 0);
  const breakdown = seen.map(([outcome, count]) => `${formatCount(count)} ${words(outcome)}`).join(", ");
  return (
    <Figure
      name={words(kind).replace(/^./, (first) => first.toUpperCase())}
      value={formatCount(sum)}
      more={kind === "completed" ? "" : breakdown}
      class={sum > 0 ? `${kind} is-${kind}` : kind}
    />
  );
}

/** The second line is there even if it is empty, so that nothing moves when it gets a text. */
function Figure(props: { name: string; value: string; more: string; class?: string }) {
  return (
    <div class={props.class}>
      <dt>{props.name}</dt>
      <dd>{props.value}</dd>
      <dd class="more" title={props.more}>
        {props.more}
      </dd>
    </div>
  );
}

function rate(values: readonly (number | null)[]): string {
  return formatSteadyRate(values.at(-1) ?? 0);
}
