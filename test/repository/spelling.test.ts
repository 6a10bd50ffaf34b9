/** The project's words for the spell checker, which `npm run check` runs. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parse } from "yaml";

const { words, ignoreWords } = parse(readFileSync("cspell.config.yaml", "utf8")) as Record<
  "words" | "ignoreWords",
  string[]
>;
const checked = ["*.md", ".github", "config", "docs", "examples", "src"];
const files = execFileSync("git", ["ls-files", "--", ...checked], { encoding: "utf8" })
  .trim()
  .split("\n");
const text = files.map((file) => readFileSync(file, "utf8").toLowerCase()).join("\n");

it.each(Object.entries({ words, ignoreWords }))(
  "the list of %s is sorted, and has no word twice",
  (_, list) => {
    const sorted = [...new Set(list)].sort((one, other) => one.localeCompare(other, "en"));
    expect(list).toEqual(sorted);
  },
);

it("each word of cspell.config.yaml is in use", () => {
  expect([...words, ...ignoreWords].filter((word) => !text.includes(word.toLowerCase()))).toEqual([]);
});
