/** The data that the page shows: the last overview, and rates computed from earlier overviews. Pure. */
import type { UploadView } from "../../observe/uploads-registry.js";
import type { OverviewEvent } from "../events.js";
import type { Overview } from "../overview.js";

/** Time span of the plot. */
const PLOT_SECONDS = 300;
/** An upload's rate is the mean over this time. A shorter time makes it fluctuate; a longer time hides a stall. */
const RATE_SECONDS = 5;
/** If no event came for longer than this, the plot shows a gap. */
const GAP_SECONDS = 5;

export interface MovingUpload extends UploadView {
  /** Unique among the uploads in flight. */
  readonly key: string;
  /** Bytes that count as progress: see {@link movedBytes}. */
  readonly movedBytes: number;
  readonly bytesPerSecond: number;
  /** `finishing`: every byte was received, and Glance has not answered yet. */
  readonly pace: "starting" | "moving" | "stalled" | "finishing";
  /** Present if the upload moves and its size is known. */
  readonly secondsLeft?: number;
}

/** Columns in the form that uPlot takes, bytes per second. Null means a gap. */
export interface Throughput {
  /** Seconds since 1970. */
  readonly at: readonly number[];
  readonly received: readonly (number | null)[];
  readonly forwarded: readonly (number | null)[];
}

export interface ViewModel {
  readonly overview: Overview;
  readonly moving: readonly MovingUpload[];
  readonly throughput: Throughput;
  /** By `key`: bytes moved at earlier times. */
  readonly samples: ReadonlyMap<string, readonly Sample[]>;
}

interface Sample {
  readonly at: number;
  readonly bytes: number;
}

export function nextViewModel(previous: ViewModel | undefined, event: OverviewEvent): ViewModel {
  const overview = { finished: previous?.overview.finished ?? [], ...event };
  const at = Date.parse(overview.now) / 1000;
  const samples = new Map<string, Sample[]>();
  const moving = overview.inFlight.map((upload) => {
    const key = keyOf(upload);
    const bytes = movedBytes(upload);
    const before = (previous?.samples.get(key) ?? []).filter(
      (sample) => sample.at >= at - RATE_SECONDS && sample.bytes <= bytes,
    );
    samples.set(key, [...before, { at, bytes }]);
    return move(upload, key, bytes, rateSince(before[0], { at, bytes }, upload.durationSeconds));
  });
  return { overview, moving, samples, throughput: nextThroughput(previous, overview, at) };
}

/** The same while an upload is in flight and after it has finished. Clients choose request ids, so these may repeat. */
export function keyOf({ requestId, imageId, startedAt }: UploadView): string {
  return `${requestId} ${imageId} ${startedAt}`;
}

/** A spooled body is first received and then forwarded. Its size is known, so its source is `spooled`, once forwarding begins. */
function movedBytes(upload: UploadView): number {
  return upload.sizeSource === "spooled" ? upload.forwardedBytes : upload.receivedBytes;
}

/** @returns bytes per second. For an upload without an earlier sample, the mean since its start. */
function rateSince(first: Sample | undefined, last: Sample, durationSeconds: number): number {
  if (first && last.at > first.at) return (last.bytes - first.bytes) / (last.at - first.at);
  return durationSeconds > 0 ? last.bytes / durationSeconds : 0;
}

function move(upload: UploadView, key: string, moved: number, bytesPerSecond: number): MovingUpload {
  const bytesLeft = upload.declaredBytes === undefined ? Infinity : upload.declaredBytes - moved;
  const pace = paceOf(bytesLeft, bytesPerSecond, upload.durationSeconds);
  return {
    ...upload,
    key,
    movedBytes: moved,
    bytesPerSecond,
    pace,
    ...(pace === "moving" && bytesLeft !== Infinity ? { secondsLeft: bytesLeft / bytesPerSecond } : {}),
  };
}

function paceOf(bytesLeft: number, bytesPerSecond: number, durationSeconds: number): MovingUpload["pace"] {
  if (bytesLeft <= 0) return "finishing";
  if (bytesPerSecond > 0) return "moving";
  return durationSeconds < RATE_SECONDS ? "starting" : "stalled";
}

function nextThroughput(previous: ViewModel | undefined, overview: Overview, at: number): Throughput {
  const before = previous === undefined ? Infinity : Date.parse(previous.overview.now) / 1000;
  if (previous === undefined || at < before) return { at: [], received: [], forwarded: [] };
  const { throughput, overview: last } = previous;
  if (at === before) return throughput;
  // After a restart of the proxy, the totals start again at 0.
  const continued = last.startedAt === overview.startedAt && at - before <= GAP_SECONDS;
  const rate = (what: "receivedBytes" | "forwardedBytes"): number | null =>
    continued ? Math.max(0, overview.totals[what] - last.totals[what]) / (at - before) : null;
  const gone = throughput.at.filter((one) => one < at - PLOT_SECONDS).length;
  return {
    at: [...throughput.at.slice(gone), at],
    received: [...throughput.received.slice(gone), rate("receivedBytes")],
    forwarded: [...throughput.forwarded.slice(gone), rate("forwardedBytes")],
  };
}
