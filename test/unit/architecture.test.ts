/** What docs/architecture.md says of the tree, held against the tree. */
import { readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { expect, it } from "vitest";

const files = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((file) =>
  file.endsWith(".ts"),
);
const source = new Map(files.map((file) => [file, readFileSync(`src/${file}`, "utf8")]));
const tree = /```\nsrc\/\n([\s\S]*?)```/.exec(readFileSync("docs/architecture.md", "utf8"))?.[1] ?? "";
/** Directories that the tree names as a whole. */
const asAWhole = /^(config|observe|admin|doctor|demo)\//;

function filesWith(pattern: RegExp): string[] {
  return files.filter((file) => pattern.test(source.get(file) ?? ""));
}

it("names every file on the way of a request, and none that is not there", () => {
  const named = [...tree.matchAll(/([\w-]+\.ts)/g)].map(([, name]) => name);
  const there = files.filter((file) => !asAWhole.test(file)).map((file) => basename(file));
  expect(named.sort()).toEqual(there.sort());
});

it("has http-proxy in one file alone", () => {
  expect(filesWith(/from "http-proxy"/)).toEqual(["pass-through/pass-through.ts"]);
});

it("ends the process in one file alone", () => {
  expect(filesWith(/process\.exit\(/)).toEqual(["cli.ts"]);
});

it("keeps what calls itself pure away from Express, http-proxy and sockets", () => {
  const pure = filesWith(/^\/\*\*[^/]*\bPure\b/);
  expect(pure.length).toBeGreaterThan(10);
  for (const file of pure) {
    expect([
      file,
      /^import (?!type).*from "(express|http-proxy|node:https|node:tls)"/m.test(source.get(file) ?? ""),
    ]).toEqual([file, false]);
  }
});

it("never asks Node to parse leniently", () => {
  expect(filesWith(/insecureHTTPParser/)).toEqual([]);
});
