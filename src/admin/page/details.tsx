/** What an opened row shows: why an upload ended so, whose it is, its ids, and where its time went. */
import type { ComponentChildren } from "preact";
import type { UploadView } from "../../observe/uploads-registry.js";
import type { RollbackResult } from "../../vocabulary/labels.js";
import { formatBytes, formatCount, formatDateTime, formatDuration, words } from "./format.js";
import { phasesOf } from "./phases.js";
import { verdictOf } from "./verdict.js";

const ROLLBACKS: Readonly<Record<RollbackResult, string>> = {
  queued: "queued again",
  timeout: "not put back in time",
  active: "active: its data may be wrong",
  unknown: "unknown: the proxy could not check it",
};

export function Details({ upload }: { upload: UploadView }) {
  return (
    <div class="details">
      <Phases upload={upload} />
      <dl class="facts">
        <Why {...upload} />
        <Whose {...upload} />
        <Size {...upload} />
        <Ids {...upload} />
      </dl>
    </div>
  );
}

function Why(upload: UploadView) {
  const { outcome, status, reason, rollback, invalidSize } = upload;
  const verdict = verdictOf(upload);
  return (
    <>
      {outcome && <Fact name="Outcome">{words(outcome)}</Fact>}
      {status !== undefined && <Fact name="Answer to the client">{status}</Fact>}
      {reason !== undefined && <Fact name="Reason">{reason}</Fact>}
      {verdict && (
        <Fact name="With enforce: true">{[verdict.outcome, verdict.reason].filter(Boolean).join(": ")}</Fact>
      )}
      {rollback && <Fact name="Image afterwards">{ROLLBACKS[rollback]}</Fact>}
      {invalidSize !== undefined && (
        <Fact name="Announced size">
          <code>{invalidSize}</code>
        </Fact>
      )}
    </>
  );
}

function Whose({ owner, client, userAgent, peer }: UploadView) {
  return (
    <>
      {owner !== undefined && (
        <Fact name="Owner (project)">
          <code>{owner}</code>
        </Fact>
      )}
      <Fact name="Client">{client}</Fact>
      <Fact name="User agent">{userAgent ?? "none sent"}</Fact>
      <Fact name="Peer">
        <code>{peer ?? "unknown"}</code>
      </Fact>
    </>
  );
}

function Size({
  declaredBytes,
  sizeSource,
  sizeRule,
  receivedBytes,
  forwardedBytes,
  startedAt,
  operation,
}: UploadView) {
  return (
    <>
      <Fact name="Declared">
        {declaredBytes === undefined ? "no size" : `${allBytes(declaredBytes)}, by ${words(sizeSource)}`}
      </Fact>
      {sizeRule !== undefined && (
        <Fact name="Rule for unknown sizes">
          <code>{sizeRule === "default" ? "size.unknown" : `size.rules[${sizeRule}]`}</code>
        </Fact>
      )}
      <Fact name="Received">{allBytes(receivedBytes)}</Fact>
      <Fact name="Sent to Glance">{allBytes(forwardedBytes)}</Fact>
      <Fact name="Started">
        {formatDateTime(Date.parse(startedAt))}, to {operation}
      </Fact>
    </>
  );
}

function Ids(upload: UploadView) {
  const { imageId, requestId, glanceRequestId, clientRequestId, traceparent, outcome } = upload;
  const ids = [
    ["Image", imageId],
    ["Request", requestId],
    ["Glance's request", glanceRequestId ?? (outcome ? "none" : "none yet")],
    ["Client's request", clientRequestId],
    ["traceparent", traceparent],
  ] as const;
  return ids.map(
    ([name, id]) =>
      id !== undefined && (
        <Fact key={name} name={name}>
          <code>{id}</code>
        </Fact>
      ),
  );
}

function Phases({ upload }: { upload: UploadView }) {
  const phases = phasesOf(upload);
  return (
    <div class="phases">
      <div class="phase-bar" aria-hidden="true">
        {phases.map(
          ({ kind, seconds }) =>
            seconds > 0 && <span key={kind} class={`is-${kind}`} style={{ flexGrow: seconds }} />,
        )}
      </div>
      <ul aria-label="Where the time went">
        {phases.map(({ kind, name, seconds }) => (
          <li key={kind} class={`is-${kind}`}>
            {name} <b>{formatDuration(seconds)}</b>
          </li>
        ))}
      </ul>
    </div>
  );
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** Every digit: sizes may differ by one byte. */
function allBytes(bytes: number): string {
  return bytes < 1000 ? formatBytes(bytes) : `${formatCount(bytes)} B (${formatBytes(bytes)})`;
}
