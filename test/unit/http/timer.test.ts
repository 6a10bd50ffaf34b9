import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createTimer } from "../../../src/http/timer.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it("a timer expires once, when its time is over", () => {
  const onExpiry = vi.fn();
  createTimer(100, onExpiry).start();
  vi.advanceTimersByTime(99);
  expect(onExpiry).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1000);
  expect(onExpiry).toHaveBeenCalledOnce();
});

it("a timer restarts each time it is started", () => {
  const onExpiry = vi.fn();
  const timer = createTimer(100, onExpiry);
  timer.start();
  for (let step = 0; step < 5; step += 1) {
    vi.advanceTimersByTime(99);
    timer.start();
  }
  expect(onExpiry).not.toHaveBeenCalled();
  vi.advanceTimersByTime(101);
  expect(onExpiry).toHaveBeenCalledOnce();
});

describe.each(["stop", "pause"] as const)("after %s, a timer", (end) => {
  it("does not expire, and has its whole time again when it is started", () => {
    const onExpiry = vi.fn();
    const timer = createTimer(100, onExpiry);
    timer.start();
    vi.advanceTimersByTime(50);
    timer[end]();
    vi.advanceTimersByTime(1000);
    expect(onExpiry).not.toHaveBeenCalled();
    timer.start();
    vi.advanceTimersByTime(99);
    expect(onExpiry).not.toHaveBeenCalled();
    vi.advanceTimersByTime(2);
    expect(onExpiry).toHaveBeenCalledOnce();
  });

  it("does not expire, even if its time was over in the same turn", () => {
    const onExpiry = vi.fn();
    const timer = createTimer(100, onExpiry);
    timer.start();
    vi.advanceTimersToNextTimer();
    timer[end]();
    vi.advanceTimersByTime(1000);
    expect(onExpiry).not.toHaveBeenCalled();
  });
});

it("a timer that was paused leaves nothing behind when it is stopped", () => {
  const timer = createTimer(100, () => undefined);
  timer.start();
  timer.pause();
  timer.stop();
  expect(vi.getTimerCount()).toBe(0);
});

it("a timer of 0 ms never expires", () => {
  const onExpiry = vi.fn();
  const timer = createTimer(0, onExpiry);
  timer.start();
  vi.advanceTimersByTime(2 ** 31);
  expect(onExpiry).not.toHaveBeenCalled();
  expect(vi.getTimerCount()).toBe(0);
});

it("stopping a timer that was not started does nothing", () => {
  expect(() => createTimer(1, () => undefined).stop()).not.toThrow();
});
