import { describe, expect, it } from "vitest";
import { parseConfig } from "../../../src/config/load.js";
import type { ConfigInput } from "../../../src/config/schema.js";
import {
  adviseOnUnknownSizes,
  checkSizeRules,
  checkUnknownSizes,
} from "../../../src/doctor/unknown-sizes.js";

const STORES = [
  { id: "volumes", type: "cinder", isDefault: true },
  { id: "cheap", type: "s3", isDefault: false },
  { id: "file", type: "file", isDefault: false },
];

function configOf(size: ConfigInput["size"], onFull: "forward" | "reject" = "reject") {
  return parseConfig({ upstream: { url: "http://glance" }, size, spool: { onFull } });
}

const begin = (id: string): string =>
  `set size.unknown to spool or reject, or begin size.rules with { store: [${id}], unknown: spool }`;
const FULL = "set spool.onFull to reject: an image for which the spool has no space is sent without a size";

describe("a store that does not take uploads of unknown size is named if the configuration", () => {
  it.each<[string, ReturnType<typeof configOf>, (string | undefined)[]]>([
    ["forwards all", configOf({}), [begin("volumes"), begin("cheap")]],
    ["spools all if there is space", configOf({ unknown: "spool" }, "forward"), [FULL, FULL]],
    [
      "forwards those to one store",
      configOf({ rules: [{ store: ["cheap"], unknown: "reject" }], defaultStore: "volumes" }),
      [begin("volumes"), undefined],
    ],
    [
      "forwards those without a store, because it does not know the default store",
      configOf({ rules: [{ store: ["cheap", "volumes"], unknown: "reject" }] }),
      [begin("volumes"), undefined],
    ],
    [
      "forwards those of one client",
      configOf({ rules: [{ client: ["curl"], unknown: "forward" }], unknown: "reject" }),
      [begin("volumes"), begin("cheap")],
    ],
  ])("%s", (_, config, [volumes, cheap]) => {
    expect(STORES.map((store) => checkUnknownSizes(store, config, true)[0]?.remedy)).toEqual([
      volumes,
      cheap,
      undefined,
    ]);
  });
});

it.each<[string, ReturnType<typeof configOf>]>([
  ["rejects all", configOf({ unknown: "reject" })],
  ["spools all", configOf({ unknown: "spool" })],
  [
    "forwards only to /stage",
    configOf({ rules: [{ operation: "stage", unknown: "forward" }], unknown: "reject" }),
  ],
  [
    "spools those to the stores that need it",
    configOf({ rules: [{ store: ["cheap", "volumes"], unknown: "spool" }], defaultStore: "volumes" }),
  ],
])("no store is named if the configuration %s", (_, config) => {
  expect(STORES.flatMap((store) => checkUnknownSizes(store, config, true))).toEqual([]);
  expect(checkSizeRules(STORES, config.size)).toEqual([]);
});

it.each([
  ["rbd", true, 0],
  ["rbd", false, 1],
  ["swift", undefined, 1],
  ["cinder", true, 1],
  ["constructor", false, 0],
])("a %s store behind a server that says 100 Continue: %s has %i hints", (type, continues, hints) => {
  const store = { id: "a", type, isDefault: false };
  expect(checkUnknownSizes(store, configOf({}), continues)).toHaveLength(hints);
});

it.each<[ConfigInput["size"], string[]]>([
  [
    { rules: [{ store: ["nova"], unknown: "spool" }], defaultStore: "volumes" },
    ["correct the name in size.rules"],
  ],
  [
    { rules: [{ store: ["cheap"], unknown: "spool" }] },
    ["set size.defaultStore to volumes, Glance's default store"],
  ],
  [
    { rules: [{ store: ["cheap"], unknown: "spool" }], defaultStore: "cheap" },
    ["set size.defaultStore to volumes, Glance's default store"],
  ],
  [{ defaultStore: "cheap" }, []],
])("the stores of %j are compared with Glance's", (size, remedies) => {
  expect(checkSizeRules(STORES, configOf(size).size).map(({ remedy }) => remedy)).toEqual(remedies);
});

it.each<[ConfigInput["size"], string[]]>([
  [{}, []],
  [{ defaultStore: "tank" }, []],
  [{ defaultStore: "cinder", unknown: "reject" }, []],
  [
    { defaultStore: "cinder" },
    ["size: if the store cinder is of the type cinder (Cinder): if the volumes are on NFS"],
  ],
  [{ rules: [{ store: ["a"], unknown: "spool" }] }, ["size.defaultStore is not set"]],
  [
    {
      rules: [
        { client: ["curl", "other"], unknown: "spool" },
        { client: ["curl"], unknown: "reject" },
      ],
    },
    ["size.rules[1]: never applies: size.rules[0] matches the same uploads first"],
  ],
  [{ rules: [{ client: ["curl"], unknown: "spool" }, { unknown: "reject" }] }, []],
  [
    {
      rules: [
        { operation: "file", unknown: "spool" },
        { operation: "stage", unknown: "reject" },
      ],
    },
    [],
  ],
])("--check-config, for %j, warns: %j", (size, beginnings) => {
  const advice = adviseOnUnknownSizes(configOf(size));
  expect(advice.map((line, index) => line.startsWith(beginnings[index] ?? "nothing"))).toEqual(
    beginnings.map(() => true),
  );
});
