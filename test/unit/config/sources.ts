import type { Config } from "../../../src/config/config.js";
import { ConfigError } from "../../../src/config/config-error.js";
import { type ConfigFlags, loadConfig, type LoadedConfig } from "../../../src/config/load.js";

/** Where the tests' configuration file seems to be. */
export const FILE = "/etc/proxy.yaml";

export interface Sources {
  readonly flags?: ConfigFlags;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Text of the file; without it no file is named. */
  readonly file?: string;
}

export function load(sources: Sources): Config {
  return loadAll(sources).config;
}

/** Loads as the command does, with a file that is not on the disk. */
export function loadAll({ flags = {}, env = {}, file }: Sources): LoadedConfig {
  return loadConfig({
    flags: file === undefined ? flags : { config: FILE, ...flags },
    env,
    readFile(path) {
      if (path === FILE && file !== undefined) return file;
      throw new Error(`ENOENT: no such file or directory, open '${path}'`);
    },
  });
}

/** The faults of what must not load. */
export function faultsOf(attempt: () => unknown): readonly string[] {
  try {
    attempt();
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
}
