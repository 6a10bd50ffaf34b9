/** The lists of uploads in flight and of finished uploads, with a filter and an order. */
import { useMemo, useState } from "preact/hooks";
import type { UploadView } from "../../observe/uploads-registry.js";
import { formatCount } from "./format.js";
import { FinishedTable, MovingTable } from "./tables.js";
import type { MovingUpload } from "./view-model.js";

/** Maximum number of rows in flight: a browser must redraw them each second. */
const MAX_ROWS = 1000;

/** Times in ISO 8601 sort as text. */
const byStart = (one: MovingUpload, other: MovingUpload): number =>
  Number(one.startedAt > other.startedAt) - Number(one.startedAt < other.startedAt);

const ORDERS = {
  "oldest first": byStart,
  "newest first": (one, other) => byStart(other, one),
  "slowest first": (one, other) => one.bytesPerSecond - other.bytesPerSecond,
  "first to finish": (one, other) => (one.secondsLeft ?? Infinity) - (other.secondsLeft ?? Infinity) || 0,
} satisfies Record<string, (one: MovingUpload, other: MovingUpload) => number>;
type Order = keyof typeof ORDERS;

export function Uploads(props: { moving: readonly MovingUpload[]; finished: readonly UploadView[] }) {
  const [filter, setFilter] = useState("");
  const finished = useMemo(() => props.finished.filter(matches(filter)), [props.finished, filter]);
  return (
    <>
      <InFlight all={props.moving} filter={filter} onFilter={setFilter} />
      <Finished all={props.finished} shown={finished} />
    </>
  );
}

interface InFlightProps {
  readonly all: readonly MovingUpload[];
  readonly filter: string;
  readonly onFilter: (filter: string) => void;
}

function InFlight({ all, filter, onFilter }: InFlightProps) {
  const [order, setOrder] = useState<Order>("oldest first");
  const shown = all.filter(matches(filter)).sort(ORDERS[order]).slice(0, MAX_ROWS);
  return (
    <section aria-labelledby="in-flight">
      <div class="bar">
        <h2 id="in-flight">
          In flight <Count shown={shown.length} all={all.length} />
        </h2>
        <label>
          Filter
          <input
            type="search"
            placeholder="image, request id, client …"
            value={filter}
            onInput={({ currentTarget }) => onFilter(currentTarget.value)}
          />
        </label>
        <label>
          Order
          <select value={order} onChange={({ currentTarget }) => setOrder(currentTarget.value as Order)}>
            {Object.keys(ORDERS).map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
      </div>
      {shown.length > 0 ? (
        <MovingTable uploads={shown} />
      ) : (
        <p class="empty">
          {all.length > 0 ? "No upload in flight matches the filter." : "No upload is in flight."}
        </p>
      )}
    </section>
  );
}

function Finished({ all, shown }: { all: readonly UploadView[]; shown: readonly UploadView[] }) {
  // Preact skips an element that is the same object. In most seconds no upload finishes.
  const table = useMemo(() => <FinishedTable uploads={shown} />, [shown]);
  return (
    <section aria-labelledby="finished">
      <div class="bar">
        <h2 id="finished">
          Recently finished <Count shown={shown.length} all={all.length} />
        </h2>
      </div>
      {shown.length > 0 ? (
        table
      ) : (
        <p class="empty">
          {all.length > 0
            ? "No finished upload matches the filter."
            : "No upload has finished since the proxy started."}
        </p>
      )}
    </section>
  );
}

function Count({ shown, all }: { shown: number; all: number }) {
  return (
    <span class="count">
      {shown === all ? formatCount(all) : `${formatCount(shown)} of ${formatCount(all)}`}
    </span>
  );
}

function matches(filter: string): (upload: UploadView) => boolean {
  const wanted = filter.trim().toLowerCase();
  return ({ imageId, requestId, client, sizeSource, operation, outcome = "" }) =>
    [imageId, requestId, client, sizeSource, operation, outcome].join(" ").toLowerCase().includes(wanted);
}
