/** The uploads in flight and the last that finished, as `/uploads` shows them. */
import type { Operation } from "../glance/request-target.js";
import type { SizeSource } from "../upload/declared-size.js";
import type { ClientKind } from "./client-kind.js";
import type { Outcome } from "./metrics.js";

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
    snapshot: () => ({ inFlight: [...inFlight].map(viewOf), finished: finished.map(viewOf) }),
  };
}

function viewOf(upload: Viewed): UploadView {
  return upload.view();
}
