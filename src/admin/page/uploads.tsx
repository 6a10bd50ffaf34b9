/** The two lists, and what narrows and orders them. */
import { useMemo, useState } from "preact/hooks";
import type { UploadView } from "../../observe/uploads-registry.js";
import { formatCount } from "./format.js";
import type { MovingUpload } from "./picture.js";
import { FinishedTable, MovingTable } from "./tables.js";

/** Nobody reads more rows, and a browser stays quick with so many. */
const MOST_ROWS = 1000;

/** Times in ISO 8601 have the order of their letters. */
const byStart = (one: MovingUpload, other: MovingUpload): number =>
  Number(one.startedAt > other.startedAt) - Number(one.startedAt < other.startedAt);

const ORDERS = {
  "oldest first": byStart,
  "newest first": (one, other) => byStart(other, one),
  "slowest first": (one, other) => one.bytesPerSecond - other.bytesPerSecond,
  "first to finish": (one, other) => (one.secondsLeft ?? Infinity) - (other.secondsLeft ?? Infinity) || 0,
} satisfies Record<string, (one: MovingUpload, other: MovingUpload) => number>;

export function Uploads(props: { moving: readonly MovingUpload[]; finished: readonly UploadView[] }) {
  const [filter, setFilter] = useState("");
  const [order, setOrder] = useState<keyof typeof ORDERS>("oldest first");
  const moving = props.moving.filter(matches(filter)).sort(ORDERS[order]);
  const finished = useMemo(() => props.finished.filter(matches(filter)), [props.finished, filter]);
  // The same element again is not drawn again: most seconds nothing ends.
  const finishedTable = useMemo(() => <FinishedTable uploads={finished} />, [finished]);
  return (
    <>
      <section aria-labelledby="in-flight">
        <div class="bar">
          <h2 id="in-flight">
            In flight <Count shown={Math.min(moving.length, MOST_ROWS)} all={props.moving.length} />
          </h2>
          <label>
            Filter
            <input
              type="search"
              placeholder="image, request id, client …"
              value={filter}
              onInput={({ currentTarget }) => setFilter(currentTarget.value)}
            />
          </label>
          <label>
            Order
            <select
              value={order}
              onChange={({ currentTarget }) => setOrder(currentTarget.value as keyof typeof ORDERS)}
            >
              {Object.keys(ORDERS).map((name) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </label>
        </div>
        {moving.length > 0 ? (
          <MovingTable uploads={moving.slice(0, MOST_ROWS)} />
        ) : (
          <p class="empty">
            {props.moving.length > 0 ? "No upload in flight matches the filter." : "No upload is in flight."}
          </p>
        )}
      </section>
      <section aria-labelledby="finished">
        <div class="bar">
          <h2 id="finished">
            Recently finished <Count shown={finished.length} all={props.finished.length} />
          </h2>
        </div>
        {finished.length > 0 ? (
          finishedTable
        ) : (
          <p class="empty">
            {props.finished.length > 0
              ? "No finished upload matches the filter."
              : "No upload has finished since the proxy started."}
          </p>
        )}
      </section>
    </>
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
