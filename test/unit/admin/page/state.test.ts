import { expect, it } from "vitest";
import { stateOf } from "../../../../src/admin/page/state.js";
import { overviewAt } from "../../../support/overviews.js";

it.each([
  ["connecting", undefined, "quiet", "Connecting"],
  ["live", "ready", "good", "Glance ready"],
  ["live", "glance_unreachable", "bad", "Glance unreachable"],
  ["live", "glance_silent", "bad", "Glance silent"],
  ["live", "not_listening", "bad", "Not listening"],
  ["live", "draining", "warning", "Draining"],
  ["lost", undefined, "bad", "Connection lost, reconnecting"],
  ["lost", "ready", "bad", "Connection lost, reconnecting"],
] as const)("%s and %s is %s: %s", (connection, state, tone, name) => {
  const overview = state && overviewAt(0, { state });
  expect(stateOf(connection, overview)).toMatchObject({ tone, name });
});

it.each([
  ["answers", "good", "Glance ready"],
  ["slow", "warning", "Glance slow"],
  ["busy", "warning", "Glance busy"],
] as const)("a Glance that is %s is %s: %s", (glance, tone, name) => {
  expect(stateOf("live", overviewAt(0, { state: "ready", glance }))).toMatchObject({ tone, name });
});

it("says that everything fails only if Glance is unreachable or silent", () => {
  const states = [
    { state: "glance_unreachable" },
    { state: "glance_silent" },
    { state: "ready", glance: "busy" },
    { state: "ready", glance: "slow" },
    { state: "ready", glance: "answers" },
  ] as const;
  const failing = states.filter((state) =>
    stateOf("live", overviewAt(0, state)).explanation?.includes("all requests"),
  );
  expect(failing).toEqual(states.slice(0, 2));
});

it("says until the first event that it connects, and what may be wrong if none comes", () => {
  expect(stateOf("connecting", undefined).explanation).toBe("Connecting to /events ...");
  expect(stateOf("lost", undefined).explanation).toMatch(
    /^No event has come from \/events: .* buffers the stream\.$/,
  );
  expect(stateOf("lost", overviewAt(0)).explanation).not.toMatch(/buffers/);
});

it("explains on a lost connection how old the data is, and that a draining proxy may have exited", () => {
  expect(stateOf("lost", undefined).explanation).not.toMatch(/the state at/);
  expect(stateOf("lost", overviewAt(0)).explanation).toMatch(/the state at \d\d:\d\d:00\.$/);
  expect(stateOf("lost", overviewAt(0, { state: "draining" })).explanation).toMatch(/draining/);
});
