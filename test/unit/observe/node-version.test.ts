import { describe, expect, it } from "vitest";
import { adviseOnNode } from "../../../src/observe/node-version.js";

const NOW = new Date("2026-11-26T12:00:00Z");

describe("a Node that gets security fixes and has the one that is needed", () => {
  it.each(["v22.23.2", "v22.23.10", "v22.24.0", "v24.18.1", "v24.21.0", "26.5.1", "v26.10.0"])(
    "gives no advice: %s",
    (version) => {
      expect(adviseOnNode(version, NOW)).toBeUndefined();
    },
  );

  it.each(["v27.0.0", "v28.1.0", "v27.0.0-nightly20261101"])(
    "gives no advice if its line is not known yet: %s",
    (version) => {
      expect(adviseOnNode(version, NOW)).toBeUndefined();
      expect(adviseOnNode(version, new Date("2040-01-01"))).toBeUndefined();
    },
  );
});

it.each([
  ["v22.23.1", "22.23.1", "Node 22.23.2 or a later 22"],
  ["v22.9.0", "22.9.0", "Node 22.23.2 or a later 22"],
  ["v24.18.0", "24.18.0", "Node 24.18.1 or a later 24"],
  ["v26.5.0", "26.5.0", "Node 26.5.1 or a later 26"],
  ["v26.0.0-rc.1", "26.0.0", "Node 26.5.1 or a later 26"],
])("%s lacks the fix, and a later one of the same line is named", (version, shown, install) => {
  expect(adviseOnNode(version, NOW)).toEqual({
    reason: `Node ${shown} lacks the fix for CVE-2026-58044`,
    install,
  });
});

it.each(["v18.20.8", "v20.20.2", "v21.7.3", "v23.11.1", "v25.9.0"])(
  "%s gets no fixes any more, and those that do are named",
  (version) => {
    expect(adviseOnNode(version, NOW)).toEqual({
      reason: `Node ${version.slice(1, 3)} no longer gets security fixes`,
      install: "Node 22.23.2, 24.18.1, 26.5.1 or a later version of these lines",
    });
  },
);

it.each([
  ["v22.23.3", "2027-04-30T23:59:59Z", undefined],
  ["v22.23.3", "2027-05-01T00:00:00Z", "Node 24.18.1, 26.5.1 or a later version of these lines"],
  ["v24.21.0", "2028-04-30T23:59:59Z", undefined],
  ["v24.21.0", "2028-05-01T00:00:00Z", "Node 26.5.1 or a later version of it"],
  ["v26.10.0", "2029-04-30T23:59:59Z", undefined],
  ["v26.10.0", "2029-05-01T00:00:00Z", "a Node newer than 26"],
])("%s at %s", (version, now, install) => {
  expect(adviseOnNode(version, new Date(now))?.install).toBe(install);
});
