import { describe, expect, it } from "vitest";
import { createRequestHead } from "../../../src/http/request-head.js";
import { type SizeRule, UnknownSizeRules, type UnknownSizeUpload } from "../../../src/upload/unknown-size.js";

const RULES: SizeRule[] = [
  { client: ["curl", "browser"], store: ["s3"], operation: "file", unknown: "reject" },
  { store: ["cinder", "s3"], unknown: "spool" },
  { operation: "stage", unknown: "forward" },
];

function decide(rules: SizeRule[], upload: Partial<UnknownSizeUpload>): string {
  const size = new UnknownSizeRules({ rules, unknown: "reject" });
  const { rule, policy } = size.decide({ client: "other", operation: "file", stores: [], ...upload });
  return `${rule}: ${policy}`;
}

describe("the first rule that matches decides", () => {
  it.each<[Partial<UnknownSizeUpload>, string]>([
    [{ client: "curl", stores: ["s3"] }, "0: reject"],
    [{ client: "browser", stores: ["s3"] }, "0: reject"],
    [{ client: "curl", stores: ["s3"], operation: "stage" }, "1: spool"],
    [{ client: "glanceclient", stores: ["s3"] }, "1: spool"],
    [{ client: "curl", stores: ["cinder"] }, "1: spool"],
    [{ client: "curl", stores: ["S3"] }, "default: reject"],
    [{ client: "curl", stores: [] }, "default: reject"],
    [{ stores: ["ceph", "cinder"] }, "1: spool"],
    [{ operation: "stage" }, "2: forward"],
    [{}, "default: reject"],
  ])("%j", (upload, decision) => {
    expect(decide(RULES, upload)).toBe(decision);
  });

  it("a rule without conditions matches every upload", () => {
    expect(decide([{ unknown: "spool" }, ...RULES], { client: "curl", stores: ["s3"] })).toBe("0: spool");
  });

  it("without rules, size.unknown decides", () => {
    expect(decide([], { client: "curl" })).toBe("default: reject");
  });
});

describe("the stores of an upload", () => {
  const storesOf = (...rawHeaders: string[]): readonly string[] =>
    new UnknownSizeRules({ rules: RULES, unknown: "forward", defaultStore: "ceph" }).storesOf(
      createRequestHead(rawHeaders),
    );

  it.each<[string, string[], string[]]>([
    ["the header", ["X-Image-Meta-Store", "s3"], ["s3"]],
    ["the default without the header", ["Host", "a"], ["ceph"]],
    [
      "both values if the header is sent twice",
      ["x-image-meta-store", "s3", "X-Image-Meta-Store", "b"],
      ["s3", "b"],
    ],
    ["no default if the header is empty, because Glance refuses that", ["x-image-meta-store", ""], [""]],
    [
      "the default if the header is removed before it reaches Glance",
      ["Connection", "X-Image-Meta-Store", "x-image-meta-store", "s3"],
      ["ceph"],
    ],
  ])("%s", (_, rawHeaders, stores) => {
    expect(storesOf(...rawHeaders)).toEqual(stores);
  });
});

it.each<[SizeRule[], "forward" | "spool", boolean]>([
  [[], "forward", false],
  [[], "spool", true],
  [RULES, "forward", true],
  [[{ unknown: "reject" }], "forward", false],
])("with the rules %j and the default %s, uploads may be spooled: %s", (rules, unknown, may) => {
  expect(new UnknownSizeRules({ rules, unknown }).maySpool).toBe(may);
});
