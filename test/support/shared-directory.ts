/** Before all tests: a directory that the files of a run share, for what takes long to make and is copied from there. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The environment variable with its path. Not set outside of a test run. */
export const SHARED_DIRECTORY = "TESTS_SHARED_DIRECTORY";

/** Called once per project. @returns what removes the directory at the end of the run. */
export default function shareDirectory(): (() => void) | undefined {
  if (process.env[SHARED_DIRECTORY] !== undefined) return undefined;
  const directory = mkdtempSync(join(tmpdir(), "shared-by-tests-"));
  process.env[SHARED_DIRECTORY] = directory;
  return () => {
    rmSync(directory, { recursive: true });
  };
}
