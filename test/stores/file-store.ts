import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { count, NOTHING, type TestedStore } from "./tested-store.js";

export async function startFileStore(): Promise<TestedStore> {
  const directory = await mkdtemp(join(tmpdir(), "file-store-"));
  return {
    glance: { type: "file", options: [`filesystem_store_datadir = ${directory}`] },
    requests: [],
    operations: () => "one file, written in order",
    async left() {
      const files = await readdir(directory);
      return files.length === 0 ? NOTHING : count(files.length, "file");
    },
    atCut: () => "1 file",
    afterCut: () => NOTHING,
    clear: () => Promise.resolve(),
    stop: () => rm(directory, { recursive: true, force: true }),
  };
}
