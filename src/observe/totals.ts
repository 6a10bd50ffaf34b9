/** The counters of uploads since the start, as plain numbers. Metrics, live page and worker reports read these. Pure. */
import { type Operation, OPERATIONS, SIZE_SOURCES, type SizeSource } from "../vocabulary/labels.js";
import { type Outcome, OUTCOMES } from "../vocabulary/outcomes.js";

export interface Totals {
  /** Bytes of image data read from clients, including those that were discarded after a refusal. */
  readonly received: Record<Operation, number>;
  /** Bytes of image data sent to Glance. */
  readonly forwarded: Record<Operation, number>;
  /** Finished uploads. */
  readonly uploads: Record<Operation, Record<Outcome, Record<SizeSource, number>>>;
}

/** The totals that the live page shows. */
export interface UploadTotals {
  readonly receivedBytes: number;
  readonly forwardedBytes: number;
  readonly outcomes: Readonly<Record<Outcome, number>>;
}

export function createTotals(): Totals {
  const zero = (): number => 0;
  return {
    received: byEach(OPERATIONS, zero),
    forwarded: byEach(OPERATIONS, zero),
    uploads: byEach(OPERATIONS, () => byEach(OUTCOMES, () => byEach(SIZE_SOURCES, zero))),
  };
}

/** Adds the totals of several processes. */
export function sumTotals(all: readonly Totals[]): Totals {
  const sum = (read: (totals: Totals) => number): number =>
    all.reduce((total, totals) => total + read(totals), 0);
  return {
    received: byEach(OPERATIONS, (operation) => sum(({ received }) => received[operation])),
    forwarded: byEach(OPERATIONS, (operation) => sum(({ forwarded }) => forwarded[operation])),
    uploads: byEach(OPERATIONS, (operation) =>
      byEach(OUTCOMES, (outcome) =>
        byEach(SIZE_SOURCES, (source) => sum(({ uploads }) => uploads[operation][outcome][source])),
      ),
    ),
  };
}

export function uploadTotals({ received, forwarded, uploads }: Totals): UploadTotals {
  return {
    receivedBytes: received.file + received.stage,
    forwardedBytes: forwarded.file + forwarded.stage,
    outcomes: byEach(OUTCOMES, (outcome) =>
      OPERATIONS.flatMap((operation) => Object.values(uploads[operation][outcome])).reduce(
        (total, count) => total + count,
        0,
      ),
    ),
  };
}

function byEach<Key extends string, Value>(
  keys: readonly Key[],
  make: (key: Key) => Value,
): Record<Key, Value> {
  return Object.fromEntries(keys.map((key) => [key, make(key)])) as Record<Key, Value>;
}
