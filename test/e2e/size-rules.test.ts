/** `size.rules`: which uploads of unknown size are sent on, stored first, or refused. */
import { expect, it } from "vitest";
import { type ConfigInput, createGlanceSizeProxy } from "../../src/index.js";
import { type HeaderValues, request } from "../support/raw-http.js";
import { FILE, SIZE, STAGE, useScene } from "./scene.js";

const SIZES = {
  rules: [
    { client: ["browser"], unknown: "reject" },
    { store: ["cinder"], operation: "file", unknown: "spool" },
    { store: ["ceph"], unknown: "reject" },
  ],
  unknown: "forward",
  defaultStore: "cinder",
} satisfies ConfigInput["size"];
const scene = useScene({ size: SIZES });
const STORE = "x-image-meta-store";

interface Case {
  readonly headers: HeaderValues;
  readonly target?: string;
  readonly rule: string;
  readonly policy: "forward" | "spool" | "reject";
}

it.each<[string, Case]>([
  ["the client", { headers: { "User-Agent": "Mozilla/5.0" }, rule: "0", policy: "reject" }],
  [
    "the first of two rules",
    { headers: { "User-Agent": "Mozilla/5.0", [STORE]: "ceph" }, rule: "0", policy: "reject" },
  ],
  ["the default store", { headers: {}, rule: "1", policy: "spool" }],
  ["the named store", { headers: { [STORE]: "ceph" }, rule: "2", policy: "reject" }],
  [
    "the named store, at /stage too",
    { headers: { [STORE]: "ceph" }, target: STAGE, rule: "2", policy: "reject" },
  ],
  ["a store without a rule", { headers: { [STORE]: "file" }, rule: "default", policy: "forward" }],
  ["another operation than the rule's", { headers: {}, target: STAGE, rule: "default", policy: "forward" }],
  [
    "a store that Glance does not see",
    { headers: { [STORE]: "file", Connection: STORE }, rule: "1", policy: "spool" },
  ],
])(
  "an upload of unknown size is treated by the rule for %s",
  async (_, { headers, target = FILE, rule, policy }) => {
    const peer = await scene.startUpload(headers, target);
    peer.sendChunk("hello").endChunks();
    expect((await peer.response()).status).toBe(policy === "reject" ? 411 : 204);
    const expected = { forward: [undefined], spool: ["5"], reject: [] }[policy];
    expect(scene.upstream.uploads.map((upload) => upload.headers[SIZE])).toEqual(expected);

    expect(await scene.proxy.metric(`unknown_size_rules_total{rule="${rule}",policy="${policy}"}`)).toBe(1);
    expect((await scene.proxy.uploads()).finished).toMatchObject([{ sizeRule: rule }]);
    expect(scene.proxy.logged.filter(({ msg }) => msg === "upload")).toMatchObject([{ sizeRule: rule }]);
  },
);

it("an upload of known size is not treated by a rule", async () => {
  const peer = await scene.startUpload({ "User-Agent": "Mozilla/5.0", [SIZE]: 5 });
  peer.sendChunk("hello").endChunks();
  expect((await peer.response()).status).toBe(204);
  const [upload] = (await scene.proxy.uploads()).finished;
  expect(upload).not.toHaveProperty("sizeRule");
  expect(await scene.proxy.metric('unknown_size_rules_total{rule="0",policy="reject"}')).toBe(0);
});

/** The rules that have a metric, with their policy. */
async function counted(): Promise<string[]> {
  const { text } = await request(scene.proxy.adminPort, "GET", "/metrics");
  return [...text.matchAll(/unknown_size_rules_total\{rule="(\w+)",policy="(\w+)"\} 0/g)].map(
    ([, rule, policy]) => `${rule} ${policy}`,
  );
}

it("every rule has a metric of 0 from the start, and a new one when a reload takes it over", async () => {
  const before = await counted();
  expect(before).toEqual(["0 reject", "1 spool", "2 reject", "default forward"]);
  const size = { ...SIZES, rules: [...SIZES.rules, { unknown: "reject" as const }] };
  const { faults } = await scene.proxy.reload({ size, admin: { tokenFile: "/not/there" } });
  expect(faults).toHaveLength(1);
  expect(await counted()).toEqual(before);
  expect((await scene.proxy.reload({ size })).faults).toEqual([]);
  expect(await counted()).toEqual([...before, "3 reject"]);
});

it("the directory of the spool is checked if any rule may spool", () => {
  const start = (unknown: "spool" | "reject") =>
    createGlanceSizeProxy({
      upstream: { url: scene.upstream.url },
      size: { rules: [{ unknown }] },
      spool: { dir: "/not/there" },
    });
  expect(() => start("spool")).toThrow(/^spool\.dir: "\/not\/there": cannot be written to/);
  expect(() => start("reject")).not.toThrow();
});
