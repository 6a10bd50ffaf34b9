import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, it } from "vitest";
import { soon } from "../../../src/http/soon.js";

it("soon resolves for all callers of a turn together, before other work that was scheduled in between", async () => {
  const seen: string[] = [];
  void soon().then(() => seen.push("first"));
  setImmediate(() => seen.push("other work"));
  void soon().then(() => seen.push("second"));
  await nextTurn();
  expect(seen).toEqual(["first", "second", "other work"]);
});

it("soon resolves in the next turn for a caller that has just been resolved", async () => {
  const seen: string[] = [];
  await soon();
  void soon().then(() => seen.push("again"));
  await Promise.resolve();
  expect(seen).toEqual([]);
  await nextTurn();
  expect(seen).toEqual(["again"]);
});
