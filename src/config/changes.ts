/** Compares two configurations key by key, and combines them. Pure. */
import { createHash } from "node:crypto";
import { show } from "./fault.js";
import { allKeys } from "./keys.js";
import { type ConfigInput, configKeys } from "./schema.js";

/** The dotted names of all keys. */
export const KEYS: readonly string[] = allKeys(configKeys).map(({ name }) => name);

/** @returns the dotted names of the keys whose values differ. Both configurations must be complete, as `LoadedConfig` has them. */
export function changedKeys(before: ConfigInput, after: ConfigInput): string[] {
  return KEYS.filter((key) => JSON.stringify(valueAt(before, key)) !== JSON.stringify(valueAt(after, key)));
}

/** @returns `KEY: OLD -> NEW` for each key, without secrets. */
export function describeChanges(before: ConfigInput, after: ConfigInput, keys: readonly string[]): string[] {
  const text = (config: ConfigInput, key: string): string => {
    const value = valueAt(config, key);
    return value === undefined ? "none" : show(key, value);
  };
  return keys.map((key) => `${key}: ${text(before, key)} -> ${text(after, key)}`);
}

/** @returns a copy of `config` with the values of `other` for some keys. A key that `other` does not have is absent. */
export function withKeysOf(config: ConfigInput, other: ConfigInput, keys: readonly string[]): ConfigInput {
  const copy = structuredClone(config) as unknown as Tree;
  for (const key of keys) {
    const path = key.split(".");
    const last = path.pop() ?? "";
    let section = copy;
    for (const part of path) section = section[part] = { ...(section[part] as Tree | undefined) };
    const value = valueAt(other, key);
    if (value === undefined) Reflect.deleteProperty(section, last);
    else section[last] = value;
  }
  return copy as unknown as ConfigInput;
}

/**
 * @returns a number of 48 bits that is the same for equal configurations only, as far as chance allows. The contents of files that keys
 *   name do not count: the number is public, and some files hold secrets.
 */
export function hashConfig(config: ConfigInput): number {
  return createHash("sha256").update(JSON.stringify(config)).digest().readUIntBE(0, 6);
}

interface Tree {
  [key: string]: unknown;
}

/** @returns undefined if the configuration does not have the key. */
export function valueAt(config: ConfigInput, key: string): unknown {
  return key.split(".").reduce<unknown>((value, part) => (value as Tree | undefined)?.[part], config);
}
