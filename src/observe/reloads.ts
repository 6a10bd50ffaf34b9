/** Takes over new configurations while the proxy runs, one after the other. Logs and counts each attempt. */
import { changedKeys, describeChanges, hashConfig, withKeysOf } from "../config/changes.js";
import type { Config } from "../config/config.js";
import { ConfigError } from "../config/config-error.js";
import { type FileContents, keysOfOtherContents, readFileContents } from "../config/file-contents.js";
import { completeConfig, type LoadedConfig } from "../config/load.js";
import type { ConfigMetrics } from "./config-metrics.js";
import type { Log } from "./log.js";

/** What became of a reload. */
export interface Reload {
  /** Why nothing has changed: one line for each fault. Empty if the new configuration is in force. */
  readonly faults: readonly string[];
  /** The keys whose new values, or the new contents of whose files, are in force. */
  readonly changed: readonly string[];
  /** The keys whose old values stay in force until the next start. */
  readonly pending: readonly string[];
}

export interface ReloadsOptions {
  readonly loaded: LoadedConfig;
  readonly log: Log;
  readonly metrics: ConfigMetrics;
  /** @returns whether the key has a new value that only a start can take over. */
  readonly needsStart: (key: string, before: Config, after: Config) => boolean;
  /** What to do about such keys, for the log. */
  readonly remedy: string;
  /** Takes the configuration over, as a whole or not at all. @throws ConfigError, or Error with a reason. */
  readonly apply: (next: LoadedConfig) => void | Promise<void>;
}

interface Waiting {
  readonly read: () => LoadedConfig;
  readonly done: Promise<Reload>;
  readonly resolve: (reload: Reload) => void;
}

export class Reloads {
  readonly #options: ReloadsOptions;
  #inForce: LoadedConfig;
  #files: FileContents;
  #isRunning = false;
  /** Runs after the current reload. A later request replaces it, because it reads a later configuration. */
  #next: Waiting | undefined;

  constructor(options: ReloadsOptions) {
    this.#options = options;
    this.#inForce = options.loaded;
    this.#files = readFileContents(options.loaded.written);
    options.metrics.inForce(hashConfig(options.loaded.written));
  }

  get config(): Config {
    return this.#inForce.config;
  }

  /**
   * Never rejects. If a reload is running, this one runs after it. Of several that wait, only the last one runs.
   *
   * @param read Default: the configuration in force, whose files are then read again. @throws ConfigError
   */
  request(read: () => LoadedConfig = () => this.#inForce): Promise<Reload> {
    if (!this.#isRunning) return this.#run(read);
    const { done, resolve } = this.#next ?? unresolved();
    this.#next = { read, done, resolve };
    return done;
  }

  async #run(read: () => LoadedConfig): Promise<Reload> {
    this.#isRunning = true;
    const reload = await this.#attempt(read);
    this.#isRunning = false;
    const next = this.#next;
    this.#next = undefined;
    if (next) void this.#run(next.read).then(next.resolve);
    return reload;
  }

  async #attempt(read: () => LoadedConfig): Promise<Reload> {
    const { log, metrics, apply } = this.#options;
    try {
      const wanted = read();
      const pending = this.#pendingKeys(wanted);
      const before = this.#inForce.written;
      const next =
        pending.length === 0 ? wanted : completeConfig(withKeysOf(wanted.written, before, pending), true);
      const changed = changedKeys(before, next.written);
      // Read before they are used: if a file changes meanwhile, the next reload tells it, and none tells it too early.
      const files = readFileContents(next.written);
      await apply(next);
      const rewritten = keysOfOtherContents(this.#files, files);
      this.#inForce = next;
      this.#files = files;
      const hash = hashConfig(next.written);
      metrics.reloaded("success");
      metrics.inForce(hash);
      const described = [
        ...describeChanges(before, next.written, changed),
        ...rewritten.map((key) => `${key}: other contents`),
      ];
      log.info({ changed: described, hash }, "configuration reloaded");
      if (pending.length > 0) this.#warnOf(pending, wanted);
      return { faults: [], changed: [...changed, ...rewritten], pending };
    } catch (error) {
      const faults = error instanceof ConfigError ? error.faults : [(error as Error).message];
      metrics.reloaded("failure");
      log.error({ faults }, "cannot use the new configuration, keeping the old one");
      return { faults, changed: [], pending: [] };
    }
  }

  #pendingKeys(wanted: LoadedConfig): string[] {
    const { config, written } = this.#inForce;
    return changedKeys(written, wanted.written).filter((key) =>
      this.#options.needsStart(key, config, wanted.config),
    );
  }

  #warnOf(pending: readonly string[], wanted: LoadedConfig): void {
    const keys = describeChanges(this.#inForce.written, wanted.written, pending);
    this.#options.log.warn({ keys, remedy: this.#options.remedy }, "some keys cannot change while running");
  }
}

function unresolved(): Omit<Waiting, "read"> {
  let resolve: Waiting["resolve"] = () => undefined;
  const done = new Promise<Reload>((fulfil) => {
    resolve = fulfil;
  });
  return { done, resolve };
}
