/** The page: what state things are in, figures, plot, uploads in flight, uploads that ended. */
import { useEffect, useState } from "preact/hooks";
import { formatDuration } from "./format.js";
import { nextPicture, type Picture } from "./picture.js";
import { stateOf, type Connection } from "./state.js";
import { watch } from "./stream.js";
import { Throughput } from "./throughput.js";
import { Totals } from "./totals.js";
import { Uploads } from "./uploads.js";

export function App() {
  const [connection, setConnection] = useState<Connection>("connecting");
  const [picture, setPicture] = useState<Picture>();
  useEffect(
    () =>
      watch("events", {
        onEvent: (event) => setPicture((previous) => nextPicture(previous, event)),
        onConnection: setConnection,
      }),
    [],
  );
  const { tone, name, explanation } = stateOf(connection, picture?.overview);
  const inFlight = picture?.moving.length ?? 0;
  useEffect(() => {
    document.title = `${inFlight > 0 ? `${inFlight} in flight` : name} – glance-size-proxy`;
  }, [inFlight, name]);
  return (
    <div class={connection === "lost" ? "page is-stale" : "page"}>
      <header>
        <h1>glance-size-proxy</h1>
        {picture && <About overview={picture.overview} />}
        <p class={`state is-${tone}`} role="status">
          {name}
        </p>
      </header>
      <main>
        {explanation !== undefined && <p class={`notice is-${tone}`}>{explanation}</p>}
        {picture && (
          <>
            <Totals picture={picture} />
            <Throughput throughput={picture.throughput} />
            <Uploads moving={picture.moving} finished={picture.overview.finished} />
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

function About({ overview: { version, workers, startedAt, now } }: { overview: Picture["overview"] }) {
  const upSeconds = (Date.parse(now) - Date.parse(startedAt)) / 1000;
  return (
    <p class="about">
      {version}, {workers === 1 ? "1 worker" : `${workers} workers`}, up {formatDuration(upSeconds)}
    </p>
  );
}
