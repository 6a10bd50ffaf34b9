/** Uploads as table rows that open. A narrow screen shows rows as cards: the explicit roles keep the table for screen readers. */
import type { ComponentChildren, VNode } from "preact";
import { useId } from "preact/hooks";
import type { UploadView } from "../../observe/uploads-registry.js";
import { outcomeKind } from "../../vocabulary/outcomes.js";
import { Details } from "./details.js";
import {
  formatBytes,
  formatClock,
  formatDuration,
  formatSize,
  formatSteady,
  formatSteadyRate,
  formatTimeLeft,
  words,
} from "./format.js";
import { slowSideOf } from "./phases.js";
import { reasonOf, verdictOf } from "./verdict.js";
import { keyOf, type MovingUpload } from "./view-model.js";

/** Which rows are open, by {@link keyOf}. */
export interface Opening {
  readonly opened: ReadonlySet<string>;
  readonly onToggle: (key: string) => void;
}

const MOVING = ["Image", "Client", "Size source", "Progress", "Rate", "Time left"];
const FINISHED = ["Outcome", "Image", "Client", "Size source", "Size", "Duration", "Finished"];

export function MovingTable({ uploads, ...opening }: Opening & { uploads: readonly MovingUpload[] }) {
  return (
    <Table name="moving" caption="Uploads in flight" columns={MOVING}>
      {uploads.map((upload) => (
        <Row key={upload.key} upload={upload} columns={MOVING.length} {...opening}>
          {(image) => (
            <>
              {image}
              <Cell of="client">{upload.client}</Cell>
              <Cell of="source">{words(upload.sizeSource)}</Cell>
              <Cell of="progress">
                <Progress {...upload} />
              </Cell>
              <Cell of="rate">{formatSteadyRate(upload.bytesPerSecond)}</Cell>
              <TimeLeft {...upload} />
            </>
          )}
        </Row>
      ))}
    </Table>
  );
}

export function FinishedTable({ uploads, ...opening }: Opening & { uploads: readonly UploadView[] }) {
  return (
    <Table name="finished" caption="Recently finished uploads, newest first" columns={FINISHED}>
      {uploads.map((upload) => (
        <Row key={keyOf(upload)} upload={upload} columns={FINISHED.length} {...opening}>
          {(image) => (
            <>
              <Ended {...upload} />
              {image}
              <Cell of="client">{upload.client}</Cell>
              <Cell of="source">{words(upload.sizeSource)}</Cell>
              <Cell of="size">{formatSize(upload.receivedBytes, upload.declaredBytes)}</Cell>
              <Cell of="took">
                {formatDuration(upload.durationSeconds)}
                <small>{slowSideOf(upload)}</small>
              </Cell>
              <Cell of="ended">{endedAt(upload)}</Cell>
            </>
          )}
        </Row>
      ))}
    </Table>
  );
}

interface TableProps {
  readonly name: string;
  readonly caption: string;
  readonly columns: readonly string[];
  readonly children: ComponentChildren;
}

function Table({ name, caption, columns, children }: TableProps) {
  return (
    <table role="table" class={name}>
      <caption>{caption}</caption>
      <thead role="rowgroup">
        <tr role="row">
          {columns.map((column) => (
            <th key={column} role="columnheader" scope="col">
              {column}
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup">{children}</tbody>
    </table>
  );
}

function Cell({ of, children }: { of: string; children: ComponentChildren }) {
  return (
    <td role="cell" class={of}>
      {children}
    </td>
  );
}

interface RowProps extends Opening {
  readonly upload: UploadView;
  readonly columns: number;
  /** @param image the cell with the button that opens the row. */
  readonly children: (image: VNode) => ComponentChildren;
}

/** A row, and below it, if it is open, a second one with everything that is known of the upload. */
function Row({ upload, columns, opened, onToggle, children }: RowProps) {
  const id = useId();
  const key = keyOf(upload);
  const isOpen = opened.has(key);
  const { imageId, requestId, operation } = upload;
  return (
    <>
      <tr role="row" class={isOpen ? "is-open" : ""}>
        {children(
          <Cell of="image">
            <button
              type="button"
              class="opener"
              title={reasonOf(upload)}
              aria-expanded={isOpen}
              aria-controls={isOpen ? id : undefined}
              onClick={() => onToggle(key)}
            >
              <code>{imageId}</code>
              <small>
                {operation === "stage" && "stage, "}
                {requestId}
              </small>
            </button>
          </Cell>,
        )}
      </tr>
      {isOpen && (
        <tr role="row" class="opened">
          <td role="cell" aria-colspan={columns} id={id}>
            <Details upload={upload} />
          </td>
        </tr>
      )}
    </>
  );
}

/** Outcome, and below it the answer that the client got. */
function Ended(upload: UploadView) {
  const { outcome, status, rollback } = upload;
  const verdict = verdictOf(upload);
  const more = [status, rollback && `image ${words(rollback)}`, verdict && `would be ${verdict.outcome}`];
  return (
    <Cell of="outcome">
      {outcome && <span class={`verdict is-${outcomeKind(outcome)}`}>{words(outcome)}</span>}
      <small>{more.filter(Boolean).join(", ")}</small>
    </Cell>
  );
}

function Progress({ imageId, movedBytes, declaredBytes }: MovingUpload) {
  const name = `Progress of ${imageId}`;
  if (declaredBytes === undefined) {
    return (
      <>
        <progress aria-label={name} />
        <span>{formatSteady(movedBytes)} so far</span>
      </>
    );
  }
  const percent = declaredBytes === 0 ? 100 : Math.min(100, Math.floor((movedBytes / declaredBytes) * 100));
  return (
    <>
      <progress aria-label={name} max={100} value={percent} />
      <span>
        {formatSteady(movedBytes)} of {formatBytes(declaredBytes)}, {percent} %
      </span>
    </>
  );
}

/** The time left, or why it is not known, and below it whom the upload waits for. */
function TimeLeft({ pace, secondsLeft, waitsFor }: MovingUpload) {
  const waits = waitsFor === undefined || pace === "moving" ? "" : `waits for ${NAMES[waitsFor]}`;
  const kind = secondsLeft !== undefined ? "left due" : pace === "stalled" ? "left is-warning" : "left";
  return (
    <Cell of={kind}>
      {secondsLeft !== undefined ? formatTimeLeft(secondsLeft) : pace === "moving" ? "unknown" : pace}
      <small>{waits}</small>
    </Cell>
  );
}

const NAMES = { client: "client", glance: "Glance", spool: "spool" } as const;

function endedAt({ startedAt, durationSeconds }: UploadView): string {
  return formatClock(Date.parse(startedAt) + durationSeconds * 1000);
}
