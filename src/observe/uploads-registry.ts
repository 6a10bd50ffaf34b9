/** The uploads in flight and the last that finished, as `/uploads` shows them. */
import type { Operation, SizeSource } from "../vocabulary/labels.js";
import type { ClientKind } from "./client-kind.js";
import type { Outcome } from "../vocabulary/outcomes.js";

export interface UploadView {
  readonly requestId: string;
  readonly imageId: string;
  readonly operation: Operation;
  readonly client: ClientKind;
  readonly sizeSource: SizeSource;
  /** Absent where nobody announced it. */
  readonly declaredBytes?: number | undefined;
  readonly receivedBytes: number;
  readonly forwardedBytes: number;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly durationSeconds: number;
  /** Absent while in flight. */
  readonly outcome?: Outcome | undefined;
}

export interface UploadsSnapshot {
  readonly inFlight: readonly UploadView[];
  /** The newest first. */
  readonly finished: readonly UploadView[];
}

interface Viewed {
  view(): UploadView;
}

export interface UploadsRegistry {
  add(upload: Viewed): void;
  /** Moves an upload to the finished ones. */
  finish(upload: Viewed): void;
  /** Resolves when none is in flight. */
  whenEmpty(): Promise<void>;
  snapshot(): UploadsSnapshot;
  /** Whether another upload of the image goes on, or has completed since an upload of that age began. */
  hasRival(imageId: string, ageSeconds: number): boolean | Promise<boolean>;
}

/** What two clocks that count seconds may be wrong by. */
const RIVAL_SLACK_MS = 2_000;

/** @param uploads all that are known, the one that asks among those in flight. */
export function findRival(
  { inFlight, finished }: UploadsSnapshot,
  imageId: string,
  ageSeconds: number,
): boolean {
  if (inFlight.filter((upload) => upload.imageId === imageId).length > 1) return true;
  const since = Date.now() - ageSeconds * 1_000 - RIVAL_SLACK_MS;
  return finished.some(
    (upload) =>
      upload.imageId === imageId &&
      upload.outcome === "completed" &&
      Date.parse(upload.startedAt) + upload.durationSeconds * 1_000 >= since,
  );
}

/** @param keep how many finished uploads are remembered, newest first. */
export function createUploadsRegistry(keep = 100): UploadsRegistry {
  const inFlight = new Set<Viewed>();
  const finished: Viewed[] = [];
  let waiting: (() => void)[] = [];
  return {
    add(upload) {
      inFlight.add(upload);
    },
    finish(upload) {
      inFlight.delete(upload);
      if (inFlight.size === 0) {
        for (const resolve of waiting) resolve();
        waiting = [];
      }
      finished.unshift(upload);
      finished.length = Math.min(finished.length, keep);
    },
    whenEmpty: () =>
      new Promise((resolve) => {
        if (inFlight.size === 0) resolve();
        else waiting.push(resolve);
      }),
    snapshot,
    hasRival: (imageId, ageSeconds) => findRival(snapshot(), imageId, ageSeconds),
  };

  function snapshot(): UploadsSnapshot {
    return { inFlight: [...inFlight].map(viewOf), finished: finished.map(viewOf) };
  }
}

function viewOf(upload: Viewed): UploadView {
  return upload.view();
}
