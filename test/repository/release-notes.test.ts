/** What a release says of itself, and what stops one. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type CommandResult, run } from "../support/run.js";

const CHANGELOG = `# Changelog

## [Unreleased]

- Not yet.

## [1.2.3] - 2026-12-01

### Added

- Something.

## [1.2.2] - 2026-11-30

- Old.
`;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "release-notes-"));
  mkdirSync(join(folder, "scripts"));
  cpSync("scripts/release-notes.mjs", join(folder, "scripts/release-notes.mjs"));
  writeFileSync(join(folder, "CHANGELOG.md"), CHANGELOG);
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function releaseNotes(version: string, tag: string): Promise<CommandResult> {
  writeFileSync(join(folder, "package.json"), JSON.stringify({ version }));
  return run(process.execPath, [join(folder, "scripts/release-notes.mjs"), tag]);
}

it("the notes of a release are its section of the changelog", async () => {
  const notes = "### Added\n\n- Something.\n";
  expect(await releaseNotes("1.2.3", "v1.2.3")).toEqual({ code: 0, stdout: notes, stderr: "" });
});

it.each([
  ["the tag names another version than the package", "1.2.3", "v1.2.4", "package.json wants v1.2.3"],
  ["the tag has no v", "1.2.3", "1.2.3", "package.json wants v1.2.3"],
  ["the changelog has no section for the version", "1.2.4", "v1.2.4", "no section [1.2.4]"],
])("there is no release if %s", async (_, version, tag, reason) => {
  const { code, stdout, stderr } = await releaseNotes(version, tag);
  expect([code, stdout]).toEqual([1, ""]);
  expect(stderr).toContain(reason);
});
