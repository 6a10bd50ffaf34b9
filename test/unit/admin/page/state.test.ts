import { expect, it } from "vitest";
import { stateOf } from "../../../../src/admin/page/state.js";
import { overviewAt } from "../../../support/overviews.js";

it.each([
  ["connecting", undefined, "quiet", "Connecting"],
  ["live", "ready", "good", "Glance ready"],
  ["live", "glance_unreachable", "bad", "Glance unreachable"],
  ["live", "not_listening", "bad", "Not listening"],
  ["live", "draining", "warning", "Draining"],
  ["lost", undefined, "bad", "Stream lost, reconnecting"],
  ["lost", "ready", "bad", "Stream lost, reconnecting"],
] as const)("%s and %s is %s: %s", (connection, state, tone, name) => {
  const overview = state && overviewAt(0, { state });
  expect(stateOf(connection, overview)).toMatchObject({ tone, name });
});

it("a lost stream says from when the figures are, and that the proxy may have ended as asked", () => {
  expect(stateOf("lost", undefined).explanation).not.toMatch(/was so/);
  expect(stateOf("lost", overviewAt(0)).explanation).toMatch(/was so at \d\d:\d\d:00\.$/);
  expect(stateOf("lost", overviewAt(0, { state: "draining" })).explanation).toMatch(/draining/);
});
