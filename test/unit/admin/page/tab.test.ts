import { expect, it } from "vitest";
import { stateOf } from "../../../../src/admin/page/state.js";
import { tabOf } from "../../../../src/admin/page/tab.js";
import { overviewAt } from "../../../support/overviews.js";

const MIB = 1024 ** 2;

it.each([
  [{ state: "ready", glance: "answers" }, 0, "Glance is ready", "idle"],
  [{ state: "ready", glance: "answers" }, 2, "2 uploads · 180 MiB/s", "active"],
  [{ state: "ready", glance: "answers" }, 1, "1 upload · 180 MiB/s", "active"],
  [{ state: "ready", glance: "busy" }, 1500, "1,500 uploads · 180 MiB/s", "warning"],
  [{ state: "draining" }, 0, "Draining", "warning"],
  [{ state: "glance_unreachable" }, 2, "Glance is unreachable", "bad"],
  [{ state: "not_listening" }, 0, "Not listening", "bad"],
] as const)("with %o and %d uploads, the tab says: %s", (overview, inFlight, title, icon) => {
  const state = stateOf("live", overviewAt(0, overview));
  expect(tabOf(state, inFlight, 180 * MIB)).toEqual({ title, icon });
});

it("shows a lost connection, whatever the state was", () => {
  expect(tabOf(stateOf("lost", overviewAt(0)), 2, MIB)).toEqual({
    title: "Connection lost, reconnecting",
    icon: "bad",
  });
});
