/** A proxy with both addresses, in one process or in several. */
import type { Listening } from "../client/server.js";
import type { Config } from "../config/config.js";
import type { LoadedConfig } from "../config/load.js";
import type { ConfigInput } from "../config/schema.js";
import type { Reload } from "../observe/reloads.js";

/** Open descriptors that listen, by the section of the address. */
export interface Descriptors {
  readonly listen?: number | undefined;
  readonly admin?: number | undefined;
}

/** What the command runs. */
export interface Proxy {
  /** The configuration in force. */
  readonly config: Config;
  /**
   * Resolves when both addresses listen.
   * @param inherited descriptors to use in place of the addresses.
   * @throws ListenError if an address cannot be used.
   */
  start(inherited?: Descriptors): Promise<Listening & { readonly admin: string }>;
  /** As `Reloads.request`. */
  reload(read?: () => LoadedConfig): Promise<Reload>;
  /** The descriptors that listen, for a process that takes them over. */
  descriptors(): Descriptors;
  /** As {@link ClientServer.retire}, on both addresses: another process has the same descriptors and accepts connections from now on. */
  retire(): Promise<void>;
  /** As {@link ClientServer.drain}. */
  drain(timeoutMs: number): Promise<void>;
  /** Cuts everything. */
  close(): void;
}

/** The public API of a proxy with both addresses. */
export interface ProxyServer {
  /** Resolves when both addresses listen. @throws ListenError if an address cannot be used. */
  start(): Promise<Listening & { readonly admin: string }>;
  /**
   * Takes a configuration over for new requests, and reads all files again. Requests in progress keep the configuration with which they
   * began. If there is a fault, nothing changes. Never rejects. If a reload is running, this one runs after it; of several that wait, only
   * the last one runs.
   *
   * @param config as for `createServer`: a missing key has its default. Default: the configuration in force.
   */
  reload(config?: ConfigInput): Promise<Reload>;
  /**
   * Stops accepting connections and waits for the requests in progress.
   * @param timeoutMs after this time the rest is aborted, and has twice `rollback.timeout` to settle; 0: no limit.
   */
  drain(timeoutMs: number): Promise<void>;
  /** Cuts everything. */
  close(): void;
}
