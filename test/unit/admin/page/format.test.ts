import { describe, expect, it } from "vitest";
import {
  formatBytes,
  formatDuration,
  formatRate,
  formatSize,
  formatSteady,
  formatTimeLeft,
  words,
} from "../../../../src/admin/page/format.js";
import { outcomeKind, OUTCOMES } from "../../../../src/vocabulary/outcomes.js";

it.each([
  [0, "0 B"],
  [0.4, "0 B"],
  [999, "999 B"],
  [1000, "0.977 KiB"],
  [1023, "0.999 KiB"],
  [1024, "1 KiB"],
  [1536, "1.5 KiB"],
  [1024 ** 2 - 1, "1 MiB"],
  [999.6 * 1024, "0.976 MiB"],
  [123_456_789, "118 MiB"],
  [5 * 1024 ** 4, "5 TiB"],
  [Number.MAX_SAFE_INTEGER, "8 PiB"],
  [1024 ** 5 * 5000, "5000 PiB"],
])("%d bytes are %s", (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

it.each([
  [0, "0 B"],
  [1000, "0.98 KiB"],
  [1024, "1.00 KiB"],
  [1.2 * 1024 ** 3, "1.20 GiB"],
  [99.96 * 1024, "100 KiB"],
  [123_456_789, "118 MiB"],
  [1024 ** 5 * 5000, "5000 PiB"],
])("%d bytes that change are %s", (bytes, text) => {
  expect(formatSteady(bytes)).toBe(text);
});

it("formats rates in bytes per second", () => {
  expect(formatRate(2.5 * 1024 ** 2)).toBe("2.5 MiB/s");
});

it.each([
  [5, 5, "5 B"],
  [5_000_000, undefined, "4.77 MiB"],
  [1_000_001, 1_000_000, "1,000,001 of 1,000,000 B"],
  [0, 7, "0 of 7 B"],
])("%d of %s declared are shown as %s", (bytes, declared, text) => {
  expect(formatSize(bytes, declared)).toBe(text);
});

it.each([
  [0, "0 ms"],
  [0.04, "40 ms"],
  [0.0994, "99 ms"],
  [0.0996, "0.1 s"],
  [0.25, "0.3 s"],
  [9.94, "9.9 s"],
  [9.96, "10 s"],
  [59.4, "59 s"],
  [59.6, "1 min"],
  [61, "1 min 1 s"],
  [3599.7, "1 h"],
  [3 * 3600 + 20 * 60 + 40, "3 h 20 min"],
  [2 * 86_400 + 30, "2 d"],
  [2 * 86_400 + 5 * 3600, "2 d 5 h"],
])("%d seconds are %s", (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text);
});

it.each([
  [90, "1 min 30 s"],
  [100 * 86_400, "100 d"],
  [1e12, "over 100 d"],
])("%d seconds left are shown as %s", (seconds, text) => {
  expect(formatTimeLeft(seconds)).toBe(text);
});

describe("the label of an outcome", () => {
  it("is its name with spaces", () => {
    expect(words("client_aborted")).toBe("client aborted");
  });

  it("belongs to completed, refused or failed", () => {
    const ofKind = (kind: string) => OUTCOMES.filter((outcome) => outcomeKind(outcome) === kind);
    expect(ofKind("completed")).toEqual(["completed"]);
    expect(ofKind("failed")).toEqual(["client_aborted", "client_timeout", "upstream_error"]);
    expect(ofKind("refused")).toHaveLength(OUTCOMES.length - 4);
  });
});
