import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { keysOfOtherContents, readFileContents } from "../../../src/config/file-contents.js";
import type { ConfigInput } from "../../../src/config/schema.js";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "file-contents-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

const at = (name: string): string => join(directory, name);
const guardedBy = (tokenFile: string): ConfigInput => ({
  upstream: { url: "http://glance.test" },
  admin: { tokenFile },
});

it("a key has other contents only if it named the same file before", () => {
  writeFileSync(at("one"), "1");
  writeFileSync(at("two"), "2");
  const before = readFileContents(guardedBy(at("one")));
  const other = readFileContents(guardedBy(at("two")));
  expect(keysOfOtherContents(before, other)).toEqual([]);
  expect(keysOfOtherContents(new Map(), other)).toEqual([]);
  writeFileSync(at("one"), "3");
  expect(keysOfOtherContents(before, readFileContents(guardedBy(at("one"))))).toEqual(["admin.tokenFile"]);
});

it("keeps no contents", () => {
  writeFileSync(at("one"), "correct-horse");
  expect(JSON.stringify([...readFileContents(guardedBy(at("one")))])).not.toContain("correct-horse");
});

it("a file that is missing is absent, and a pipe is left to whoever uses it", async () => {
  expect(readFileContents(guardedBy(at("missing")))).toEqual(new Map());
  execFileSync("mkfifo", [at("pipe")]);
  const writer = spawn("sh", ["-c", `echo secret > ${at("pipe")}`]);
  expect(readFileContents(guardedBy(at("pipe")))).toEqual(new Map());
  expect(readFileSync(at("pipe"), "utf8")).toBe("secret\n");
  await once(writer, "exit");
});
