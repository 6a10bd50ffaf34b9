/** The live page: state of the proxy and of Glance, totals, plot, uploads in flight, finished uploads. */
import { useEffect, useState } from "preact/hooks";
import { formatDuration } from "./format.js";
import { type Connection, stateOf } from "./state.js";
import { watch } from "./stream.js";
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
  const { tone, name, explanation } = stateOf(connection, viewModel?.overview);
  const inFlight = viewModel?.moving.length ?? 0;
  useEffect(() => {
    document.title = `${inFlight > 0 ? `${inFlight} in flight` : name} – glance-size-proxy`;
  }, [inFlight, name]);
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

function About({ overview: { version, workers, startedAt, now } }: { overview: ViewModel["overview"] }) {
  const upSeconds = (Date.parse(now) - Date.parse(startedAt)) / 1000;
  return (
    <p class="about">
      {version}, {workers === 1 ? "1 worker" : `${workers} workers`}, up {formatDuration(upSeconds)}
    </p>
  );
}
