/**
 * A real Glance of this machine (Debian's packages), in a fresh directory of its own, without Keystone: sqlite,
 * file store unless another is asked for, glance-direct. Several can run at once.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { access, mkdir, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "./free-port.js";
import { request } from "./raw-http.js";
import { run } from "./run.js";

export type GlanceServer = "eventlet" | "uwsgi";

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
  /** Everything that Glance has written so far. */
  log(): Promise<string>;
}

export interface GlanceStore {
  /** As in `enabled_backends`, such as `s3`; the store and its section get the same name. */
  readonly type: string;
  /** Lines of the store's section, such as `s3_store_bucket = glance`. */
  readonly options: readonly string[];
}

export interface RealGlanceOptions {
  readonly server: GlanceServer;
  /** Further lines of the section `[DEFAULT]`, such as `image_size_cap = 1000`. */
  readonly defaults?: readonly string[];
  /** In place of the file store; `hasData` then knows nothing of what is stored. */
  readonly store?: GlanceStore;
  /** Default 60 s. */
  readonly startTimeoutMs?: number;
}

const POLL_MS = 50;
const STOP_PATIENCE_MS = 2_000;
const PASTE_INI = "/etc/glance/glance-api-paste.ini";

/** Starts one and waits until it answers. */
export async function startRealGlance(options: RealGlanceOptions): Promise<RealGlance> {
  const directory = await mkdtemp(join(tmpdir(), "real-glance-"));
  const logFile = join(directory, "glance.log");
  let child: ChildProcess | undefined;
  const stop = async (): Promise<void> => {
    if (child) await endGroup(child);
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const port = await freePort();
    const configFile = await configure(directory, port, options);
    const database = join(directory, "glance.sqlite");
    if (databaseTemplate === undefined) {
      databaseTemplate = createDatabase(configFile, database);
      await databaseTemplate;
    } else {
      await writeFile(database, await databaseTemplate);
    }
    const command =
      options.server === "eventlet"
        ? ["/usr/bin/glance-api", "--config-file", configFile]
        : ["/usr/bin/uwsgi", "--ini", await configureUwsgi(directory, port)];
    const log = await open(logFile, "w");
    // A group of its own, so that workers end with their master. Should this process be killed before it can
    // stop Glance, the kernel sends the master a SIGTERM.
    child = spawn("/usr/bin/setpriv", ["--pdeathsig", "TERM", "--", ...command], {
      cwd: directory,
      detached: true,
      stdio: ["ignore", log.fd, log.fd],
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: directory, LANG: "C.UTF-8", PYTHONPATH: directory },
    });
    await once(child, "spawn");
    await log.close();
    await untilReady(child, port, options.startTimeoutMs ?? 60_000);
    return {
      pid: child.pid ?? 0,
      port,
      url: `http://127.0.0.1:${port}`,
      directory,
      hasData: (imageId, where) =>
        access(join(directory, where, imageId)).then(
          () => true,
          () => false,
        ),
      log: () => readFile(logFile, "utf8"),
      stop,
    };
  } catch (error) {
    const log = await readFile(logFile, "utf8").catch(() => "(no log)");
    await stop();
    const tail = log.trimEnd().split("\n").slice(-40).join("\n");
    throw new Error(`Glance under ${options.server} did not start; the end of its log:\n${tail}`, {
      cause: error,
    });
  }
}

/** An empty database, made once per process: the migrations take longer than copying their result. */
let databaseTemplate: Promise<Buffer> | undefined;

async function createDatabase(configFile: string, database: string): Promise<Buffer> {
  const result = await run("/usr/bin/glance-manage", ["--config-file", configFile, "db_sync"]);
  if (result.code !== 0) throw new Error(`glance-manage db_sync failed:\n${result.stderr}`);
  return readFile(database);
}

async function configure(directory: string, port: number, options: RealGlanceOptions): Promise<string> {
  const fileStore = { type: "file", options: [`filesystem_store_datadir = ${join(directory, "store")}`] };
  const { defaults = [], store = fileStore } = options;
  for (const name of ["store", "staging", "tasks", "lock"]) await mkdir(join(directory, name));
  const pasteIni = join(directory, "glance-api-paste.ini");
  await writeFile(pasteIni, withIdentity(await readFile(PASTE_INI, "utf8")));
  await writeFile(join(directory, `${IDENTITY_MODULE}.py`), IDENTITY);
  const configFile = join(directory, "glance-api.conf");
  await writeFile(
    configFile,
    `[DEFAULT]
bind_host = 127.0.0.1
bind_port = ${port}
workers = 1
enabled_backends = ${store.type}:${store.type}
enabled_import_methods = [glance-direct,web-download]
${defaults.join("\n")}
[database]
connection = sqlite:///${join(directory, "glance.sqlite")}?timeout=30
sqlite_synchronous = false
[glance_store]
default_backend = ${store.type}
[${store.type}]
${store.options.join("\n")}
[os_glance_staging_store]
filesystem_store_datadir = ${join(directory, "staging")}
[os_glance_tasks_store]
filesystem_store_datadir = ${join(directory, "tasks")}
[oslo_concurrency]
lock_path = ${join(directory, "lock")}
[paste_deploy]
flavor =
config_file = ${pasteIni}
`,
  );
  return configFile;
}

const IDENTITY_MODULE = "fixed_identity";

/**
 * Stands where Keystone's middleware would. And, where requests are threads, makes every transaction take sqlite's
 * write lock when it begins: taken later it fails at once with "database is locked" if another thread writes, and an
 * image is not rolled back. Under eventlet waiting for that lock would stop the one who holds it.
 */
const IDENTITY = `
import sqlalchemy.engine
import sqlalchemy.event

try:
    import uwsgi
except ImportError:
    pass
else:
    @sqlalchemy.event.listens_for(sqlalchemy.engine.Engine, "before_cursor_execute", retval=True)
    def begin_immediate(connection, cursor, statement, parameters, context, executemany):
        return ("BEGIN IMMEDIATE" if statement == "BEGIN" else statement), parameters

def factory(global_conf, **local_conf):
    def filter(app):
        def identified(environ, start_response):
            environ.setdefault("HTTP_X_IDENTITY_STATUS", "Confirmed")
            environ.setdefault("HTTP_X_USER_ID", "user")
            environ.setdefault("HTTP_X_PROJECT_ID", "project")
            environ.setdefault("HTTP_X_ROLES", "admin,member")
            return app(environ, start_response)
        return identified
    return filter
`;

/**
 * Debian's pipeline without Keystone knows no owner, and the tasks table insists on one: every import ends in a 500.
 * So each request is given one identity, and goes through the middleware that Glance has behind Keystone.
 */
function withIdentity(pasteIni: string): string {
  const pipeline = /^(\[pipeline:glance-api\]\npipeline = .*)unauthenticated-context(.*)$/m;
  if (!pipeline.test(pasteIni)) throw new Error(`no pipeline without Keystone in ${PASTE_INI}`);
  return (
    pasteIni.replace(pipeline, "$1identity context$2") +
    `\n[filter:identity]\npaste.filter_factory = ${IDENTITY_MODULE}:factory\n`
  );
}

/** The options of Debian's `/etc/glance/glance-api-uwsgi.ini`, with an address and a size of our own. */
async function configureUwsgi(directory: string, port: number): Promise<string> {
  const iniFile = join(directory, "glance-api-uwsgi.ini");
  await writeFile(
    iniFile,
    `[uwsgi]
http-socket = 127.0.0.1:${port}
env = OS_GLANCE_CONFIG_DIR=${directory}
wsgi-file = /usr/bin/glance-wsgi-api
plugins = python3
chdir = ${directory}
pythonpath = ${directory}
processes = 1
threads = 8
master = true
no-orphans = true
die-on-term = true
exit-on-reload = true
need-app = true
enable-threads = true
lazy-apps = true
thunder-lock = true
listen = 100
buffer-size = 65535
socket-timeout = 10
http-auto-chunked = true
http-chunked-input = true
http-raw-body = true
wsgi-manage-chunked-input = true
rem-header = Content-Length
add-header = Connection: close
`,
  );
  return iniFile;
}

async function untilReady(child: ChildProcess, port: number, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`ended with ${child.exitCode ?? child.signalCode} while starting`);
    }
    const answer = await request(port, "GET", "/versions").catch(() => undefined);
    if (answer?.status === 200) return;
    if (Date.now() > deadline) throw new Error(`not ready within ${timeoutMs} ms`);
    await delay(POLL_MS);
  }
}

/** An orderly end first, so that the master reaps its workers; whoever is still there is killed. */
async function endGroup(child: ChildProcess): Promise<void> {
  const { pid } = child;
  if (pid === undefined) return;
  const signalGroup = (signal: NodeJS.Signals): void => {
    try {
      process.kill(-pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  };
  if (child.exitCode === null && child.signalCode === null) {
    const exited = once(child, "exit");
    signalGroup("SIGTERM");
    const patience = setTimeout(() => {
      signalGroup("SIGKILL");
    }, STOP_PATIENCE_MS);
    await exited;
    clearTimeout(patience);
  }
  signalGroup("SIGKILL");
}
