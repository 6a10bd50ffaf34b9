/** Starts the proxy as the command does. Only what reads the configuration is loaded before that is read, so a fault is told at once. */
import type { ConfigFlags, LoadedConfig } from "./config/load.js";
import { readConfig } from "./config/read-config.js";
import { takeInherited } from "./inherited.js";

export interface ServeFlags extends ConfigFlags {
  /** File for the id of this process. */
  readonly pidFile?: string | undefined;
}

/** @throws ConfigError or ListenError if the proxy cannot be started as it was asked for. */
export async function serve({ pidFile, ...flags }: ServeFlags): Promise<void> {
  const inherited = takeInherited(process.env);
  const read = (): LoadedConfig => readConfig(flags);
  const loaded = read();
  const { runProxy } = await import("./run-proxy.js");
  await runProxy({ inherited, loaded, read, pidFile });
}
