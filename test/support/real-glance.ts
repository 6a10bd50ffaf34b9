/**
 * A real Glance of this machine (Debian's packages), in a fresh directory of its own: sqlite, file store and no
 * Keystone unless another is asked for, glance-direct. Several can run at once.
 */
import { existsSync } from "node:fs";
import { access, copyFile, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { freePort } from "./free-port.js";
import {
  CONFIG_FILE,
  type ExecutedRequest,
  type GlanceStore,
  readExecuted,
  writeGlanceConfig,
} from "./glance-config.js";
import { type GlanceServer, planServer } from "./glance-servers.js";
import { LOG_FILE, startServers } from "./process-group.js";
import { answers } from "./raw-http.js";
import { run } from "./run.js";
import { SHARED_DIRECTORY } from "./shared-directory.js";

export type { ExecutedRequest, GlanceServer, GlanceStore };

/** What a test needs of a Glance, real or not. */
export interface Glance {
  readonly port: number;
  /** Without a trailing slash. */
  readonly url: string;
  /** Whether bytes of this image lie in the store, or in the staging area. */
  hasData(imageId: string, where: "store" | "staging"): Promise<boolean>;
  stop(): Promise<void>;
}

export interface RealGlance extends Glance {
  /** Of the process that was started, which hands requests to a child of its own. */
  readonly pid: number;
  readonly directory: string;
  /** Everything that Glance and its servers have written so far. */
  log(): Promise<string>;
  /** What has reached Glance's own code so far, in the order in which it began; without the first `since`. */
  executed(since?: number): Promise<ExecutedRequest[]>;
}

export interface RealGlanceOptions {
  readonly server: GlanceServer;
  /** Further lines of the section `[DEFAULT]`, such as `image_size_cap = 1000`. */
  readonly defaults?: readonly string[];
  /** In place of the file store; `hasData` then knows nothing of what is stored. */
  readonly store?: GlanceStore;
  /** By the name of the policy, such as `upload_image`; the others stay as Glance has them. */
  readonly policies?: Readonly<Record<string, string>>;
  /** Lines of the section `[keystone_authtoken]`; without them there is no Keystone. */
  readonly authtoken?: readonly string[];
  /** Lines of the section `[import_filtering_opts]`: what may be imported with `web-download`. */
  readonly importFiltering?: readonly string[];
  /** What SQLAlchemy connects to, an empty database; it gets Glance's own metadata definitions. Default: a file of SQLite's. */
  readonly database?: string;
  /** Of uWSGI. Default 1: more need a `database`. */
  readonly processes?: number;
  /** Default 60 s. */
  readonly startTimeoutMs?: number;
}

/** Starts one and waits until it answers. */
export function startRealGlance(options: RealGlanceOptions): Promise<RealGlance> {
  const { server, startTimeoutMs, processes, ...config } = options;
  return startServers(`glance-${server}`, async ({ directory, start, untilReady }) => {
    const port = await freePort();
    const { commands, glancePort, user } = await planServer(server, directory, port, processes);
    await writeGlanceConfig(directory, { port: glancePort, ...config });
    if (config.database === undefined) await provideDatabase(directory);
    else {
      await manage(directory, "db_sync");
      await manage(directory, "db_load_metadefs", "/etc/glance/metadefs");
    }
    if (user !== undefined && process.getuid?.() === 0)
      await run("/usr/bin/chown", ["-R", `${user}:`, directory]);
    const env = { PYTHONPATH: directory, OS_GLANCE_CONFIG_DIR: directory };
    const pids: number[] = [];
    for (const command of commands) pids.push(await start(command, { env, user }));
    await untilReady(() => answers(port, "/versions"), startTimeoutMs);
    return viewGlance({ pid: pids[0] ?? 0, port, directory });
  });
}

/** What a Glance that runs can be asked. */
export function viewGlance(
  running: Pick<RealGlance, "pid" | "port" | "directory">,
): Omit<RealGlance, "stop"> {
  const { port, directory } = running;
  return {
    ...running,
    url: `http://127.0.0.1:${port}`,
    hasData: (imageId, where) =>
      access(join(directory, where, imageId)).then(
        () => true,
        () => false,
      ),
    log: () => readFile(join(directory, LOG_FILE), "utf8"),
    executed: (since) => readExecuted(directory, since),
  };
}

/** An empty database. The first file of a run that needs one makes it, the others copy it: the migrations take longer. */
async function provideDatabase(directory: string): Promise<void> {
  const database = join(directory, "glance.sqlite");
  const shared = process.env[SHARED_DIRECTORY];
  const template = join(shared ?? directory, "empty-glance.sqlite");
  if (existsSync(template)) return copyFile(template, database);
  await manage(directory, "db_sync");
  if (shared === undefined) return;
  // Renamed, so that no other file finds half of it.
  const copy = join(directory, "copy.sqlite");
  await copyFile(database, copy);
  await rename(copy, template);
}

async function manage(directory: string, ...command: string[]): Promise<void> {
  const configFile = join(directory, CONFIG_FILE);
  const result = await run("/usr/bin/glance-manage", ["--config-file", configFile, ...command]);
  if (result.code !== 0) throw new Error(`glance-manage ${command.join(" ")} failed:\n${result.stderr}`);
}
