import { expect, it } from "vitest";
import { phasesOf, slowSideOf } from "../../../../src/admin/page/phases.js";
import type { UploadView } from "../../../../src/observe/uploads-registry.js";
import { uploadWith } from "../../../support/overviews.js";

function seconds(upload: Partial<UploadView>): Record<string, number> {
  return Object.fromEntries(phasesOf(uploadWith(upload)).map(({ kind, seconds }) => [kind, seconds]));
}

it("counts the time to the answer apart from the rest of the wait for Glance, and all that is left as the proxy's", () => {
  expect(seconds({ durationSeconds: 10, waitClient: 3, waitGlance: 6, lastByteToAnswer: 4 })).toEqual({
    client: 3,
    glance: 2,
    answer: 4,
    proxy: 1,
  });
});

it("shows client, Glance and answer of every upload, spool and rollback only if they took time", () => {
  expect(seconds({})).toEqual({ client: 0, glance: 0, answer: 0 });
  expect(
    seconds({ durationSeconds: 9, waitClient: 3, spoolWrite: 2, spoolRead: 1, waitRollback: 3 }),
  ).toEqual({ client: 3, spool: 3, glance: 0, answer: 0, rollback: 3 });
});

it("shows no negative time if the clock of a phase runs ahead of the duration", () => {
  expect(seconds({ durationSeconds: 1, waitClient: 1.001, waitGlance: 0.5, lastByteToAnswer: 0.6 })).toEqual({
    client: 1.001,
    glance: 0,
    answer: 0.6,
  });
});

it.each([
  [{ durationSeconds: 41, waitClient: 38.2, waitGlance: 2 }, "client 93 %"],
  [{ durationSeconds: 41, waitClient: 2, waitGlance: 41.2 }, "Glance 100 %"],
  [{ durationSeconds: 9.9, waitClient: 9.9, waitGlance: 0 }, undefined],
])("names the side that made a long upload wait: %j", (upload, side) => {
  expect(slowSideOf(uploadWith(upload))).toBe(side);
});
