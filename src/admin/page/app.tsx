/** The live page: state of the proxy and of Glance, totals, plot, uploads in flight, finished uploads. */
import { useEffect, useState } from "preact/hooks";
import { formatDuration } from "./format.js";
import { showTab } from "./show-tab.js";
import { type Connection, stateOf } from "./state.js";
import { watch } from "./stream.js";
import { tabOf } from "./tab.js";
import { Throughput } from "./throughput.js";
import { Totals } from "./totals.js";
import { Uploads } from "./uploads.js";
import { nextViewModel, type ViewModel } from "./view-model.js";

export function App() {
  const [connection, setConnection] = useState<Connection>("connecting");
  const [viewModel, setViewModel] = useState<ViewModel>();
  useEffect(
    () =>
      watch("events", {
        onEvent: (event) => setViewModel((previous) => nextViewModel(previous, event)),
        onConnection: setConnection,
      }),
    [],
  );
  const state = stateOf(connection, viewModel?.overview);
  const { tone, name, explanation } = state;
  const tab = tabOf(state, viewModel?.moving.length ?? 0, currentRate(viewModel));
  useEffect(() => showTab(tab), [tab.title, tab.icon]);
  return (
    <div class={connection === "lost" ? "page is-stale" : "page"}>
      <header>
        <h1>glance-size-proxy</h1>
        {viewModel && <About overview={viewModel.overview} />}
        <p class={`state is-${tone}`} role="status">
          {name}
        </p>
      </header>
      <main>
        {explanation !== undefined && <p class={`notice is-${tone}`}>{explanation}</p>}
        {viewModel && (
          <>
            <Totals viewModel={viewModel} />
            <Throughput throughput={viewModel.throughput} />
            <Uploads moving={viewModel.moving} finished={viewModel.overview.finished} />
          </>
        )}
      </main>
      <footer>
        <a href="metrics">Metrics</a> <a href="uploads">Uploads as JSON</a>{" "}
        <a href="licences.txt">Licences</a>
      </footer>
    </div>
  );
}

/** Bytes per second, on the side that has more: a spooled upload moves on one side at a time. */
function currentRate(viewModel: ViewModel | undefined): number {
  const { received = [], forwarded = [] } = viewModel?.throughput ?? {};
  return Math.max(received.at(-1) ?? 0, forwarded.at(-1) ?? 0);
}

function About({ overview: { version, workers, startedAt, now } }: { overview: ViewModel["overview"] }) {
  const upSeconds = (Date.parse(now) - Date.parse(startedAt)) / 1000;
  return (
    <p class="about">
      {version}, {workers === 1 ? "1 worker" : `${workers} workers`}, up {formatDuration(upSeconds)}
    </p>
  );
}
