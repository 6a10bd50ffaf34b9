import type { ClientServer } from "../client/server.js";
import type { Config } from "../config/config.js";
import type { Observers } from "../observe/observers.js";
import type { Upstream } from "../upstream/upstream.js";
import type { Quotas } from "./quotas.js";
import type { ReplayMemory } from "./replay-memory.js";

/** What a process needs to serve clients. */
export interface ServeOptions {
  readonly config: Config;
  readonly upstream: Upstream;
  readonly observers: Observers;
  readonly quotas: Quotas;
  /** Recently failed uploads, shared by all processes of one proxy. */
  readonly replays: ReplayMemory;
  /** Name in the `Via` header, by which the proxy recognises its own requests. Shared by all processes of one proxy. */
  readonly instance: string;
}

/** What a reload replaces. */
export type ReloadOptions = Pick<ServeOptions, "config" | "upstream">;

/** Serves clients in one process. */
export interface Clients extends Omit<ClientServer, "credentials" | "prepareReload"> {
  /** @returns takes the new options over for new requests. @throws ConfigError if a file cannot be used; then nothing has changed. */
  prepareReload(next: ReloadOptions): () => void;
}

export type ServeClients = (options: ServeOptions) => Clients;
