/** Uploads as table rows. A narrow screen shows rows as cards: the explicit roles keep the table for screen readers. */
import type { ComponentChildren } from "preact";
import type { UploadView } from "../../observe/uploads-registry.js";
import { outcomeKind } from "../../vocabulary/outcomes.js";
import {
  formatBytes,
  formatClock,
  formatDuration,
  formatRate,
  formatSize,
  formatTimeLeft,
  words,
} from "./format.js";
import type { MovingUpload } from "./view-model.js";

export function MovingTable({ uploads }: { uploads: readonly MovingUpload[] }) {
  return (
    <Table
      name="moving"
      caption="Uploads in flight"
      columns={["Image", "Client", "Size source", "Progress", "Rate", "Time left"]}
    >
      {uploads.map((upload) => (
        <tr key={upload.key} role="row">
          <Image {...upload} />
          <Cell of="client">{upload.client}</Cell>
          <Cell of="source">{words(upload.sizeSource)}</Cell>
          <Cell of="progress">
            <Progress {...upload} />
          </Cell>
          <Cell of="rate">{formatRate(upload.bytesPerSecond)}</Cell>
          <TimeLeft {...upload} />
        </tr>
      ))}
    </Table>
  );
}

export function FinishedTable({ uploads }: { uploads: readonly UploadView[] }) {
  return (
    <Table
      name="finished"
      caption="Recently finished uploads, newest first"
      columns={["Outcome", "Image", "Client", "Size source", "Size", "Duration", "Finished"]}
    >
      {uploads.map((upload) => (
        <tr key={`${upload.requestId} ${upload.imageId} ${upload.startedAt}`} role="row">
          <Cell of="outcome">
            {upload.outcome && (
              <span class={`verdict is-${outcomeKind(upload.outcome)}`}>{words(upload.outcome)}</span>
            )}
          </Cell>
          <Image {...upload} />
          <Cell of="client">{upload.client}</Cell>
          <Cell of="source">{words(upload.sizeSource)}</Cell>
          <Cell of="size">{formatSize(upload.receivedBytes, upload.declaredBytes)}</Cell>
          <Cell of="took">{formatDuration(upload.durationSeconds)}</Cell>
          <Cell of="ended">{endedAt(upload)}</Cell>
        </tr>
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

function Image({ imageId, requestId, operation }: UploadView) {
  return (
    <Cell of="image">
      <code title={imageId}>{imageId}</code>
      <small title={requestId}>
        {operation === "stage" && "stage, "}
        {requestId}
      </small>
    </Cell>
  );
}

function Progress({ imageId, movedBytes, declaredBytes }: MovingUpload) {
  const name = `Progress of ${imageId}`;
  if (declaredBytes === undefined) {
    return (
      <>
        <progress aria-label={name} />
        <span>{formatBytes(movedBytes)} so far</span>
      </>
    );
  }
  const percent = declaredBytes === 0 ? 100 : Math.min(100, Math.floor((movedBytes / declaredBytes) * 100));
  return (
    <>
      <progress aria-label={name} max={100} value={percent} />
      <span>
        {formatBytes(movedBytes)} of {formatBytes(declaredBytes)}, {percent} %
      </span>
    </>
  );
}

function TimeLeft({ pace, secondsLeft }: MovingUpload) {
  if (secondsLeft !== undefined) return <Cell of="left due">{formatTimeLeft(secondsLeft)}</Cell>;
  return (
    <Cell of={pace === "stalled" ? "left is-warning" : "left"}>{pace === "moving" ? "unknown" : pace}</Cell>
  );
}

function endedAt({ startedAt, durationSeconds }: UploadView): string {
  return formatClock(Date.parse(startedAt) + durationSeconds * 1000);
}
