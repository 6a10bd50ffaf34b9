/** Reads the configuration of a command: from its flags, the environment and the file that they name. */
import { readFileSync } from "node:fs";
import type { Config } from "./config.js";
import {
  type ConfigFlags,
  type ConfigSources,
  loadConfig,
  type LoadedConfig,
  loadWithoutListening,
} from "./load.js";

/** @throws ConfigError with all faults. */
export function readConfig(flags: ConfigFlags): LoadedConfig {
  return loadConfig(sourcesOf(flags));
}

/** As `readConfig`, for a command that does not listen. */
export function readWithoutListening(flags: ConfigFlags): Config {
  return loadWithoutListening(sourcesOf(flags));
}

function sourcesOf(flags: ConfigFlags): ConfigSources {
  return { flags, env: process.env, readFile: (path) => readFileSync(path, "utf8") };
}
