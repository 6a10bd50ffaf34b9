import { describe, expect, it } from "vitest";
import type { OverviewEvent } from "../../../../src/admin/events.js";
import { type MovingUpload, nextViewModel, type ViewModel } from "../../../../src/admin/page/view-model.js";
import type { UploadView } from "../../../../src/observe/uploads-registry.js";
import { overviewAt, uploadWith } from "../../../support/overviews.js";

function viewModelOf(events: readonly OverviewEvent[]): ViewModel {
  const viewModel = events.reduce<ViewModel | undefined>(nextViewModel, undefined);
  if (!viewModel) throw new Error("no event");
  return viewModel;
}

/** What is shown of one upload after it was seen so at these seconds. */
function follow(...seen: [seconds: number, upload: Partial<UploadView>][]): MovingUpload | undefined {
  return viewModelOf(
    seen.map(([seconds, upload]) =>
      overviewAt(seconds, { inFlight: [uploadWith({ durationSeconds: seconds, ...upload })] }),
    ),
  ).moving[0];
}

describe("an upload on the live page", () => {
  it("has its mean rate since it began if it is seen for the first time", () => {
    const upload = follow([10, { receivedBytes: 500, declaredBytes: 1000 }]);
    expect(upload).toMatchObject({ bytesPerSecond: 50, secondsLeft: 10, pace: "moving" });
  });

  it("has the rate of the last five seconds by the proxy's clock from then on", () => {
    const declaredBytes = 10_000;
    const upload = follow(
      [100, { receivedBytes: 0, declaredBytes }],
      [104, { receivedBytes: 4000, declaredBytes }],
      [105, { receivedBytes: 4100, declaredBytes }],
      [106, { receivedBytes: 4200, declaredBytes }],
    );
    expect(upload).toMatchObject({ bytesPerSecond: 100, secondsLeft: 58 });
  });

  it("has a rate but no time left if its size is unknown", () => {
    const upload = follow([1, { receivedBytes: 100 }], [2, { receivedBytes: 200 }]);
    expect(upload).toMatchObject({ bytesPerSecond: 100, pace: "moving" });
    expect(upload).not.toHaveProperty("secondsLeft");
  });

  it.each([
    ["starting", 1, 0, 10],
    ["stalled", 6, 0, 10],
    ["moving", 1, 5, 10],
    ["finishing", 1, 10, 10],
    ["finishing", 60, 0, 0],
    ["finishing", 1, 11, 10],
  ] as const)("is %s after %d s with %d of %d bytes", (pace, seconds, receivedBytes, declaredBytes) => {
    const upload = follow([seconds, { receivedBytes, declaredBytes }]);
    expect(upload?.pace).toBe(pace);
    if (pace !== "moving") expect(upload).not.toHaveProperty("secondsLeft");
  });

  it("is stalled if nothing moved for five seconds", () => {
    const still = { receivedBytes: 5, declaredBytes: 10 };
    expect(follow([1, { ...still, receivedBytes: 0 }], [5, still])?.pace).toBe("moving");
    expect(follow([1, { ...still, receivedBytes: 0 }], [5, still], [7, still])?.pace).toBe("stalled");
  });

  it("starts again from 0 when a spooled body is sent to Glance", () => {
    const spooled = { sizeSource: "spooled", receivedBytes: 1000, declaredBytes: 1000 } as const;
    const upload = follow(
      [1, { sizeSource: "unknown", receivedBytes: 900 }],
      [2, { ...spooled, forwardedBytes: 100 }],
      [3, { ...spooled, forwardedBytes: 300 }],
    );
    expect(upload).toMatchObject({ movedBytes: 300, bytesPerSecond: 200, secondsLeft: 3.5 });
  });

  it("is distinguished from another upload with the same request id", () => {
    const [one, other] = [
      uploadWith({ receivedBytes: 1 }),
      uploadWith({ imageId: "two", receivedBytes: 50 }),
    ];
    const { moving } = viewModelOf([
      overviewAt(1, { inFlight: [one, other] }),
      overviewAt(2, { inFlight: [{ ...other, receivedBytes: 60 }] }),
    ]);
    expect(moving).toMatchObject([{ imageId: "two", bytesPerSecond: 10 }]);
  });
});

describe("the list of finished uploads", () => {
  it("stays the same until an event contains a new one", () => {
    const { finished: _, ...without } = overviewAt(2);
    const finished = [uploadWith({ outcome: "completed" })];
    expect(viewModelOf([overviewAt(1, { finished }), without]).overview.finished).toBe(finished);
    expect(viewModelOf([overviewAt(1, { finished }), overviewAt(2)]).overview.finished).toEqual([]);
  });
});

describe("the throughput", () => {
  const at = (seconds: number, receivedBytes: number, more: object = {}) =>
    overviewAt(seconds, { totals: { ...overviewAt(0).totals, receivedBytes, forwardedBytes: 0 }, ...more });

  it("is computed between two events, by the proxy's clock", () => {
    const { received, forwarded } = viewModelOf([at(0, 100), at(1, 300), at(3, 500)]).throughput;
    expect(received).toEqual([200, 100]);
    expect(forwarded).toEqual([0, 0]);
  });

  it("has a gap if the connection was lost", () => {
    expect(viewModelOf([at(0, 0), at(1, 5), at(60, 500), at(61, 510)]).throughput.received).toEqual([
      5,
      null,
      10,
    ]);
  });

  it("has a gap if the proxy restarted, and continues after it", () => {
    const again = { startedAt: "2026-01-01T00:00:02Z" };
    const events = [at(0, 0), at(1, 1000), at(3, 10, again), at(4, 30, again)];
    expect(viewModelOf(events).throughput.received).toEqual([1000, null, 20]);
  });

  it("is never negative, even if a worker died with its counts", () => {
    expect(viewModelOf([at(0, 100), at(1, 50)]).throughput.received).toEqual([0]);
  });

  it("ignores a repeated event, and starts again if the clock was set back", () => {
    expect(viewModelOf([at(5, 0), at(6, 10), at(6, 10)]).throughput.received).toEqual([10]);
    expect(viewModelOf([at(5, 0), at(6, 10), at(2, 20)]).throughput.at).toEqual([]);
  });

  it("covers the last five minutes", () => {
    const { at: times } = viewModelOf(Array.from({ length: 400 }, (_, second) => at(second, 0))).throughput;
    expect(times).toHaveLength(301);
    expect((times.at(-1) ?? 0) - (times[0] ?? 0)).toBe(300);
  });
});
