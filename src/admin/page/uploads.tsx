/** The lists of uploads in flight and of finished uploads, with a search, an order, and rows that open. */
import { useCallback, useMemo, useState } from "preact/hooks";
import type { UploadView } from "../../observe/uploads-registry.js";
import { formatCount } from "./format.js";
import { matches } from "./search.js";
import { FinishedTable, MovingTable, type Opening } from "./tables.js";
import type { MovingUpload } from "./view-model.js";

/** Maximum number of rows in flight: a browser must redraw them each second. */
const MAX_ROWS = 1000;

/** Frames until all rows that a jump brings into sight are drawn. Whoever scrolls at once is not held back for longer than that. */
const JUMP_FRAMES = 10;

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
  const [search, setSearch] = useState("");
  const [opened, setOpened] = useState<ReadonlySet<string>>(new Set());
  const onToggle = useCallback((key: string) => setOpened((before) => toggled(before, key)), []);
  const opening = { opened, onToggle };
  return (
    <>
      <div class="tools" role="search">
        <label>
          Search
          <input
            type="search"
            placeholder="image, any id, peer, client …"
            value={search}
            onInput={({ currentTarget }) => setSearch(currentTarget.value)}
          />
        </label>
        <nav aria-label="Lists">
          <a href="#in-flight" onClick={jump}>
            In flight
          </a>{" "}
          <a href="#finished" onClick={jump}>
            Finished
          </a>
        </nav>
      </div>
      <InFlight all={props.moving} search={search} {...opening} />
      <Finished all={props.finished} search={search} {...opening} />
    </>
  );
}

function InFlight({ all, search, ...opening }: Opening & { all: readonly MovingUpload[]; search: string }) {
  const [order, setOrder] = useState<Order>("oldest first");
  const found = all.filter(matches(search)).sort(ORDERS[order]);
  const shown = found.slice(0, MAX_ROWS);
  return (
    <section aria-labelledby="in-flight">
      <div class="bar">
        <h2 id="in-flight">
          In flight <Count shown={shown.length} all={all.length} />
        </h2>
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
        <MovingTable uploads={shown} {...opening} />
      ) : (
        <p class="empty">
          {all.length > 0 ? "No upload in flight matches the search." : "No upload is in flight."}
        </p>
      )}
    </section>
  );
}

function Finished({
  all,
  search,
  opened,
  onToggle,
}: Opening & { all: readonly UploadView[]; search: string }) {
  const shown = useMemo(() => all.filter(matches(search)), [all, search]);
  // Preact skips an element that is the same object. In most seconds no upload finishes.
  const table = useMemo(
    () => <FinishedTable uploads={shown} opened={opened} onToggle={onToggle} />,
    [shown, opened, onToggle],
  );
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
            ? "No finished upload matches the search."
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

/**
 * The height of rows out of sight is an estimate, or that of a wider page before. The jump brings some of them into sight, and their heights
 * then move its target. So it is repeated until the target stays.
 */
function jump({ currentTarget }: { readonly currentTarget: HTMLAnchorElement }): void {
  const target = document.querySelector(currentTarget.hash);
  const again = (framesLeft: number): void => {
    target?.scrollIntoView();
    if (framesLeft > 0) requestAnimationFrame(() => again(framesLeft - 1));
  };
  requestAnimationFrame(() => again(JUMP_FRAMES));
}

function toggled(keys: ReadonlySet<string>, key: string): ReadonlySet<string> {
  const others = [...keys].filter((other) => other !== key);
  return new Set(keys.has(key) ? others : [...others, key]);
}
