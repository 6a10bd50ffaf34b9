/** Loads the configuration of one proxy from flags, environment and file, or from a caller's object. */
import { z } from "zod";
import { type Config, toConfig } from "./config.js";
import { type Environment, layerFromEnvironment } from "./environment.js";
import { faultLine, type Given } from "./fault.js";
import type { Key } from "./keys.js";
import { type Layer, layerFromObject } from "./layer.js";
import { resolve } from "./resolve.js";
import { commandSchema, type ConfigInput, configKeys, configSchema, type ParsedConfig } from "./schema.js";
import { CONFIG_FILE, SHORTCUTS } from "./shortcuts.js";
import { layerFromYaml } from "./yaml-file.js";

/** The command's flags that set configuration keys, as text. */
export interface ConfigFlags {
  readonly upstream?: string | undefined;
  readonly listen?: string | undefined;
  readonly adminListen?: string | undefined;
  readonly config?: string | undefined;
}

export interface ConfigSources {
  readonly flags: ConfigFlags;
  readonly env: Environment;
  /** @returns the text of a file. Called only for `--config`. @throws if the file cannot be read. */
  readonly readFile: (path: string) => string;
}

export interface LoadedConfig {
  readonly config: Config;
  /** The same configuration as a file: every key, a size with the largest unit that is exact (`64KiB`), a time with a unit. */
  readonly written: ConfigInput;
}

/**
 * The first of these that is set wins: flag, environment, file, default.
 *
 * @throws ConfigError with all faults.
 */
export function loadConfig(sources: ConfigSources): LoadedConfig {
  return inBothForms(load(commandSchema, sources));
}

/**
 * As {@link loadConfig}, for a command that does not listen: `upstream.url` may then equal `listen.address`.
 *
 * @throws ConfigError with all faults.
 */
export function loadWithoutListening(sources: ConfigSources): Config {
  return toConfig(load(configSchema, sources));
}

function load(schema: typeof configSchema, { flags, env, readFile }: ConfigSources): ParsedConfig {
  const file = layerFromFile(flags, env, readFile);
  const layers = [file, layerFromEnvironment(configKeys, env), layerFromFlags(flags)];
  return resolve(schema, configKeys, layers, (key) => (file.readable ? `set ${waysToGive(key)}` : undefined));
}

/**
 * Checks a caller's object and adds the defaults.
 *
 * @throws ConfigError with all faults.
 */
export function parseConfig(input: ConfigInput): Config {
  return toConfig(parseInput(configSchema, input));
}

/**
 * As {@link parseConfig}, with the configuration in both forms.
 *
 * @param isCommand whether the proxy listens, as the command does: `upstream.url` must not be `listen.address`.
 * @throws ConfigError with all faults.
 */
export function completeConfig(input: ConfigInput, isCommand = false): LoadedConfig {
  return inBothForms(parseInput(isCommand ? commandSchema : configSchema, input));
}

function parseInput(schema: typeof configSchema, input: ConfigInput): ParsedConfig {
  return resolve(
    schema,
    configKeys,
    [layerFromObject(configKeys, input, undefined)],
    (key) => `must be ${key.takes}`,
  );
}

function inBothForms(parsed: ParsedConfig): LoadedConfig {
  return { config: toConfig(parsed), written: z.encode(configSchema, parsed) };
}

function layerFromFile(
  flags: ConfigFlags,
  env: Environment,
  readFile: (path: string) => string,
): Layer & { readonly readable: boolean } {
  const path = flags.config ?? env[CONFIG_FILE.env];
  if (path === undefined) return { values: new Map(), faults: [], readable: true };
  let text: string;
  try {
    text = readFile(path);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const from = flags.config === undefined ? CONFIG_FILE.env : CONFIG_FILE.option;
    const fault = faultLine("config", { value: path, from }, `must be a readable file: ${why}`);
    return { values: new Map(), faults: [fault], readable: false };
  }
  return layerFromYaml(configKeys, text, path);
}

function layerFromFlags(flags: ConfigFlags): Layer {
  const values = SHORTCUTS.flatMap(({ flag, option, key }): [string, Given][] => {
    const value = flags[flag];
    return value === undefined ? [] : [[key, { value, from: option }]];
  });
  return { values: new Map(values), faults: [] };
}

function waysToGive(key: Key): string {
  const shortcut = SHORTCUTS.find((candidate) => candidate.key === key.name);
  const file = `${key.name} in the configuration file`;
  if (shortcut === undefined) return `${key.env} or ${file}`;
  return `${shortcut.option} ${shortcut.value}, ${shortcut.env} or ${file}`;
}
