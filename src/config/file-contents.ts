/** Tells which keys name a file that has other contents than before. Keeps digests only, because some files hold secrets. */
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { KEYS, valueAt } from "./changes.js";
import type { ConfigInput } from "./schema.js";

const FILE_KEYS = KEYS.filter((key) => key.endsWith("File"));

interface Contents {
  readonly path: string;
  readonly digest: string;
}

/** By key. A key whose file cannot be read is absent. */
export type FileContents = ReadonlyMap<string, Contents>;

export function readFileContents(config: ConfigInput): FileContents {
  return new Map(
    FILE_KEYS.flatMap((key): [string, Contents][] => {
      const path = valueAt(config, key);
      const digest = typeof path === "string" ? digestOf(path) : undefined;
      return digest === undefined ? [] : [[key, { path: path as string, digest }]];
    }),
  );
}

/** @returns the keys that name the same file as before, with other contents. */
export function keysOfOtherContents(before: FileContents, after: FileContents): string[] {
  return [...after].flatMap(([key, { path, digest }]) => {
    const old = before.get(key);
    return old?.path === path && old.digest !== digest ? [key] : [];
  });
}

/** @returns undefined if it is no regular file: a pipe gives its bytes only once, to whoever uses them. */
function digestOf(path: string): string | undefined {
  try {
    return statSync(path).isFile()
      ? createHash("sha256").update(readFileSync(path)).digest("base64")
      : undefined;
  } catch {
    return undefined; // whoever uses the file says so
  }
}
