/**
 * A real Glance of this machine (Debian's packages), in a fresh directory of its own: sqlite, file store and no
 * Keystone unless another is asked for, glance-direct. Several can run at once.
 */
import { access, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "./free-port.js";
import {
  CONFIG_FILE,
  type ExecutedRequest,
  type GlanceStore,
  readExecuted,
  writeGlanceConfig,
} from "./glance-config.js";
import { type GlanceServer, LOG_FILE, planServer } from "./glance-servers.js";
import { type ProcessGroup, startGroup } from "./process-group.js";
import { request } from "./raw-http.js";
import { run } from "./run.js";

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
  /** Default 60 s. */
  readonly startTimeoutMs?: number;
}

const POLL_MS = 50;

/** Starts one and waits until it answers. */
export async function startRealGlance(options: RealGlanceOptions): Promise<RealGlance> {
  const { server, startTimeoutMs = 60_000, ...config } = options;
  const directory = await mkdtemp(join(tmpdir(), "real-glance-"));
  const logFile = join(directory, LOG_FILE);
  const groups: ProcessGroup[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(groups.map((group) => group.end()));
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const port = await freePort();
    const { commands, glancePort, user } = await planServer(server, directory, port);
    await writeGlanceConfig(directory, { port: glancePort, ...config });
    await provideDatabase(directory);
    await writeFile(logFile, "");
    if (user !== undefined && process.getuid?.() === 0)
      await run("/usr/bin/chown", ["-R", `${user}:`, directory]);
    const env = { PYTHONPATH: directory, OS_GLANCE_CONFIG_DIR: directory };
    for (const command of commands) {
      groups.push(
        await startGroup(command, { directory, logFile, env, ...(user === undefined ? {} : { user }) }),
      );
    }
    await untilReady(groups, port, startTimeoutMs);
    return {
      pid: groups[0]?.pid ?? 0,
      port,
      url: `http://127.0.0.1:${port}`,
      directory,
      hasData: (imageId, where) =>
        access(join(directory, where, imageId)).then(
          () => true,
          () => false,
        ),
      log: () => readFile(logFile, "utf8"),
      executed: (since) => readExecuted(directory, since),
      stop,
    };
  } catch (error) {
    const log = await readFile(logFile, "utf8").catch(() => "(no log)");
    await stop();
    const tail = log.trimEnd().split("\n").slice(-40).join("\n");
    throw new Error(`Glance under ${server} did not start; the end of its log:\n${tail}`, { cause: error });
  }
}

/** An empty database, made once per process: the migrations take longer than copying their result. */
let databaseTemplate: Promise<Buffer> | undefined;

async function provideDatabase(directory: string): Promise<void> {
  const database = join(directory, "glance.sqlite");
  if (databaseTemplate === undefined) {
    databaseTemplate = createDatabase(join(directory, CONFIG_FILE), database);
    await databaseTemplate;
  } else {
    await writeFile(database, await databaseTemplate);
  }
}

async function createDatabase(configFile: string, database: string): Promise<Buffer> {
  const result = await run("/usr/bin/glance-manage", ["--config-file", configFile, "db_sync"]);
  if (result.code !== 0) throw new Error(`glance-manage db_sync failed:\n${result.stderr}`);
  return readFile(database);
}

async function untilReady(groups: readonly ProcessGroup[], port: number, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    for (const group of groups) {
      const exit = group.exit();
      if (exit !== undefined) throw new Error(`ended with ${exit} while starting`);
    }
    const answer = await request(port, "GET", "/versions").catch(() => undefined);
    if (answer?.status === 200) return;
    if (Date.now() > deadline) throw new Error(`not ready within ${timeoutMs} ms`);
    await delay(POLL_MS);
  }
}
