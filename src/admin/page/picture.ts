/** What the page draws: the last overview, and the rates that follow from those before it. Pure. */
import type { OverviewEvent } from "../events.js";
import type { Overview } from "../overview.js";
import type { UploadView } from "../../observe/uploads-registry.js";

/** How far back the plot goes. */
const PLOT_SECONDS = 300;
/** What an upload's rate is the mean of: shorter it flickers, longer it hides a stall. */
const RATE_SECONDS = 5;
/** Nothing heard for longer than that is a gap, not one slow second. */
const GAP_SECONDS = 5;

export interface MovingUpload extends UploadView {
  /** Unique among those in flight. */
  readonly key: string;
  /** On their way to being an image. */
  readonly movedBytes: number;
  readonly bytesPerSecond: number;
  /** `finishing`: all has been sent, and Glance hashes, flushes, answers. */
  readonly pace: "starting" | "moving" | "stalled" | "finishing";
  /** Present where it moves and the size is known. */
  readonly secondsLeft?: number;
}

/** Columns, as the plot wants them; null where nothing was heard. */
export interface Throughput {
  /** Seconds since 1970. */
  readonly at: readonly number[];
  readonly received: readonly (number | null)[];
  readonly forwarded: readonly (number | null)[];
}

export interface Picture {
  readonly overview: Overview;
  readonly moving: readonly MovingUpload[];
  readonly throughput: Throughput;
  /** By `key`: what had moved when. */
  readonly samples: ReadonlyMap<string, readonly Sample[]>;
}

interface Sample {
  readonly at: number;
  readonly bytes: number;
}

export function nextPicture(previous: Picture | undefined, event: OverviewEvent): Picture {
  const overview = { finished: previous?.overview.finished ?? [], ...event };
  const at = Date.parse(overview.now) / 1000;
  const samples = new Map<string, Sample[]>();
  const moving = overview.inFlight.map((upload) => {
    const key = `${upload.requestId} ${upload.imageId} ${upload.startedAt}`;
    const bytes = movedBytes(upload);
    const before = (previous?.samples.get(key) ?? []).filter(
      (sample) => sample.at >= at - RATE_SECONDS && sample.bytes <= bytes,
    );
    samples.set(key, [...before, { at, bytes }]);
    return move(upload, key, bytes, rateSince(before[0], { at, bytes }, upload.durationSeconds));
  });
  return { overview, moving, samples, throughput: nextThroughput(previous, overview, at) };
}

/** A spooled body moves twice: from the client, and once its size is known to Glance. */
function movedBytes(upload: UploadView): number {
  return upload.sizeSource === "spooled" ? upload.forwardedBytes : upload.receivedBytes;
}

/** Of an upload seen for the first time, the mean since it began. */
function rateSince(first: Sample | undefined, last: Sample, durationSeconds: number): number {
  if (first && last.at > first.at) return (last.bytes - first.bytes) / (last.at - first.at);
  return durationSeconds > 0 ? last.bytes / durationSeconds : 0;
}

function move(upload: UploadView, key: string, moved: number, bytesPerSecond: number): MovingUpload {
  const left = upload.declaredBytes === undefined ? Infinity : upload.declaredBytes - moved;
  const pace = paceOf(left, bytesPerSecond, upload.durationSeconds);
  return {
    ...upload,
    key,
    movedBytes: moved,
    bytesPerSecond,
    pace,
    ...(pace === "moving" && left !== Infinity ? { secondsLeft: left / bytesPerSecond } : {}),
  };
}

function paceOf(left: number, bytesPerSecond: number, durationSeconds: number): MovingUpload["pace"] {
  if (left <= 0) return "finishing";
  if (bytesPerSecond > 0) return "moving";
  return durationSeconds < RATE_SECONDS ? "starting" : "stalled";
}

function nextThroughput(previous: Picture | undefined, overview: Overview, at: number): Throughput {
  const before = previous === undefined ? Infinity : Date.parse(previous.overview.now) / 1000;
  if (previous === undefined || at < before) return { at: [], received: [], forwarded: [] };
  const { throughput, overview: last } = previous;
  if (at === before) return throughput;
  // A proxy that was started again counts from 0.
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
