import { expect, it } from "vitest";
import { matches } from "../../../../src/admin/page/search.js";
import { verdictOf } from "../../../../src/admin/page/verdict.js";
import { uploadWith } from "../../../support/overviews.js";

const upload = uploadWith({
  requestId: "req-proxy",
  glanceRequestId: "req-glance",
  clientRequestId: "req-client",
  traceparent: "00-trace",
  imageId: "IMAGE-one",
  owner: "project",
  peer: "10.0.0.7",
  client: "openstacksdk",
  userAgent: "openstacksdk/4.5.0",
  sizeSource: "content_length",
  outcome: "size_mismatch",
  status: 400,
});

it.each(
  [
    ["", "  ", "req-proxy", "req-glance", "req-client", "00-TRACE", "image-ONE", "project", "10.0.0.7"],
    [
      "SDK",
      "4.5.0",
      "content length",
      "content_length",
      "mismatch",
      "400",
      "10.0.0.7 sdk",
      " mismatch  image ",
    ],
  ].flat(),
)("finds an upload by %j", (search) => {
  expect(matches(search)(upload)).toBe(true);
});

it.each(["req-other", "10.0.0.7 curl", "completed", "undefined"])("does not find it by %j", (search) => {
  expect(matches(search)(upload)).toBe(false);
});

it("finds an upload by what would have become of it", () => {
  const observed = {
    ...uploadWith({ outcome: "completed" }),
    verdict: "size_mismatch" as const,
    verdictReason: "short",
  };
  expect(matches("would")(observed)).toBe(false);
  expect(matches("size mismatch")(observed)).toBe(true);
  expect(verdictOf(observed)).toEqual({ outcome: "size mismatch", reason: "short" });
  expect(verdictOf({ ...observed, verdict: "completed" })).toBeUndefined();
});
