/** What docs/architecture.md says of the tree, held against the tree. */
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { expect, it } from "vitest";

const files = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((file) =>
  file.endsWith(".ts"),
);
const source = new Map(files.map((file) => [file, readFileSync(`src/${file}`, "utf8")]));
const tree = /```\nsrc\/\n([\s\S]*?)```/.exec(readFileSync("docs/architecture.md", "utf8"))?.[1] ?? "";
/** Directories that the tree names as a whole. */
const asAWhole = /^(config|observe|admin|doctor|demo|report)\//;

/** Folders from the client to Glance, with the words at the bottom. The empty one is `src` itself. */
const LAYERS = [
  ...[
    "",
    "demo",
    "doctor",
    "report",
    "workers",
    "admin",
    "upload",
    "upload/spool",
    "download",
    "import",
    "pass-through",
    "hooks",
  ],
  ...["observe", "client", "upstream", "raw-io", "http", "glance", "config", "vocabulary"],
];

/** Files with more than 300 lines, and why. */
const LONG: Readonly<Record<string, string>> = {};

const imports = new Map(
  files.map((file) => [
    file,
    [...(source.get(file) ?? "").matchAll(/^(?:import|export)[^;]*? from "(\.[^"]+)\.js";$/gm)].map(
      ([, path = ""]) => `${join(dirname(file), path)}.ts`,
    ),
  ]),
);

function layerOf(file: string): number {
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    const layer = LAYERS.indexOf(folder === "." ? "" : folder);
    if (layer !== -1) return layer;
  }
}

/** The files of a circle of imports, if one begins here. */
function circleFrom(file: string, path: readonly string[] = []): readonly string[] | undefined {
  if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
  if (checked.has(file)) return undefined;
  for (const imported of imports.get(file) ?? []) {
    const circle = circleFrom(imported, [...path, file]);
    if (circle) return circle;
  }
  checked.add(file);
  return undefined;
}
const checked = new Set<string>();

function filesWith(pattern: RegExp): string[] {
  return files.filter((file) => pattern.test(source.get(file) ?? ""));
}

it("names every file on the way of a request, and none that is not there", () => {
  const named = [...tree.matchAll(/([\w-]+\.ts)/g)].map(([, name]) => name);
  const there = files.filter((file) => !asAWhole.test(file)).map((file) => basename(file));
  expect(named.sort()).toEqual(there.sort());
});

it("has each folder import only from folders further down", () => {
  const upwards = files.flatMap((file) =>
    (imports.get(file) ?? [])
      .filter((imported) => layerOf(imported) < layerOf(file))
      .map((imported) => `${file} imports ${imported}`),
  );
  expect(upwards).toEqual([]);
});

it("has no files that import each other", () => {
  expect(files.map((file) => circleFrom(file)).filter(Boolean)).toEqual([]);
});

it("has no file with more than 300 lines without a reason", () => {
  const long = files.filter((file) => (source.get(file) ?? "").split("\n").length > 301);
  expect(long.sort()).toEqual(Object.keys(LONG).sort());
});

it("has http-proxy in one file alone", () => {
  expect(filesWith(/"http-proxy"/)).toEqual(["pass-through/http-proxy.ts"]);
});

it("ends the process in one file alone", () => {
  expect(filesWith(/process\.exit\(/)).toEqual(["run-proxy.ts"]);
});

/** These parts of Node's network modules open no socket. */
const WITHOUT_SOCKETS =
  /^import \{ (?:(?:BlockList|isIP|isIPv4|isIPv6|STATUS_CODES)(?:, )?)+ \} from "node:(?:http|net)";$/gm;

it("imports neither Express, http-proxy nor sockets in files that are called pure", () => {
  const pure = filesWith(/^\/\*\*[^/]*\bPure\b/);
  expect(pure.length).toBeGreaterThan(10);
  const network = /^import (?!type)[^;]* from "(express|http-proxy|node:(https?|net|tls))"/m;
  expect(pure.filter((file) => network.test((source.get(file) ?? "").replace(WITHOUT_SOCKETS, "")))).toEqual(
    [],
  );
});

it("never asks Node to parse leniently", () => {
  expect(filesWith(/insecureHTTPParser/)).toEqual([]);
});
