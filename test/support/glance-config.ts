/** What a real Glance reads: its options, its pipelines, and what stands in Keystone's place in the one without Keystone. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface GlanceStore {
  /** As in `enabled_backends`, such as `s3`; the store and its section get the same name. */
  readonly type: string;
  /** Lines of the store's section, such as `s3_store_bucket = glance`. */
  readonly options: readonly string[];
}

export interface GlanceConfig {
  /** Of Glance's own server, which `eventlet` alone has. */
  readonly port: number;
  /** Further lines of the section `[DEFAULT]`. */
  readonly defaults?: readonly string[];
  /** Default: files. */
  readonly store?: GlanceStore;
  /** By the name of the policy, such as `upload_image`; the others stay as Glance has them. */
  readonly policies?: Readonly<Record<string, string>>;
  /** Lines of the section `[keystone_authtoken]`. Glance then asks that Keystone who a client is. */
  readonly authtoken?: readonly string[];
  /** Lines of the section `[import_filtering_opts]`: what may be imported with `web-download`. */
  readonly importFiltering?: readonly string[];
  /** What SQLAlchemy connects to. Default: a file of SQLite's in Glance's directory. */
  readonly database?: string;
}

/** A request that reached Glance's own code, whatever came of it. */
export interface ExecutedRequest {
  readonly method: string;
  /** Decoded, as WSGI has it. */
  readonly path: string;
  readonly query: string;
  readonly contentLength: string | null;
  readonly transferEncoding: string | null;
  /** `X-Auth-Token` */
  readonly token: string | null;
  /** `x-openstack-image-size` */
  readonly imageSize: string | null;
}

const PASTE_INI = "/etc/glance/glance-api-paste.ini";
export const CONFIG_FILE = "glance-api.conf";
const RECORD = "executed.jsonl";
const MODULE = "in_keystones_place";

/** Writes it all into `directory`; Glance's options into {@link CONFIG_FILE} there. */
export async function writeGlanceConfig(directory: string, config: GlanceConfig): Promise<void> {
  const fileStore = { type: "file", options: [`filesystem_store_datadir = ${join(directory, "store")}`] };
  const { port, defaults = [], store = fileStore, policies = {}, authtoken, database } = config;
  const { importFiltering = [] } = config;
  for (const name of ["store", "staging", "tasks", "lock"]) await mkdir(join(directory, name));
  const policyFile = join(directory, "policy.yaml");
  await writeFile(policyFile, JSON.stringify(policies));
  const pasteIni = join(directory, "glance-api-paste.ini");
  await writeFile(pasteIni, withOurFilters(await readFile(PASTE_INI, "utf8")));
  await writeFile(join(directory, `${MODULE}.py`), `${FILTERS}\nRECORD = "${join(directory, RECORD)}"\n`);
  await writeFile(
    join(directory, CONFIG_FILE),
    `[DEFAULT]
bind_host = 127.0.0.1
bind_port = ${port}
workers = 1
enabled_backends = ${store.type}:${store.type}
enabled_import_methods = [glance-direct,web-download]
${defaults.join("\n")}
[database]
connection = ${database ?? `sqlite:///${join(directory, "glance.sqlite")}?timeout=30`}
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
[oslo_policy]
policy_file = ${policyFile}
[paste_deploy]
flavor = ${authtoken === undefined ? "" : "keystone"}
config_file = ${pasteIni}
[keystone_authtoken]
${(authtoken ?? []).join("\n")}
[import_filtering_opts]
${importFiltering.join("\n")}
`,
  );
}

/** In the order in which they began. @param since how many of the first are left out. */
export async function readExecuted(directory: string, since = 0): Promise<ExecutedRequest[]> {
  const text = await readFile(join(directory, RECORD), "utf8").catch(() => "");
  const lines = text.split("\n").slice(since, -1);
  return lines.map((line) => JSON.parse(line) as ExecutedRequest);
}

/**
 * `record` writes a line for each request before Glance sees it; one write, so that threads do not mix their lines.
 *
 * `identity` stands in place of Keystone's middleware. If requests are threads, it makes every transaction take
 * sqlite's write lock when it begins: taken later it fails at once with "database is locked" if another thread writes, and
 * an image is not rolled back. Under eventlet waiting for that lock would stop the one who holds it.
 */
const FILTERS = `
import json
import os
import sys
import sqlalchemy.engine
import sqlalchemy.event

if {"uwsgi", "mod_wsgi"} & sys.modules.keys():
    @sqlalchemy.event.listens_for(sqlalchemy.engine.Engine, "before_cursor_execute", retval=True)
    def begin_immediate(connection, cursor, statement, parameters, context, executemany):
        return ("BEGIN IMMEDIATE" if statement == "BEGIN" else statement), parameters

def identity(global_conf, **local_conf):
    def filter(app):
        def identified(environ, start_response):
            environ.setdefault("HTTP_X_IDENTITY_STATUS", "Confirmed")
            environ.setdefault("HTTP_X_USER_ID", "user")
            environ.setdefault("HTTP_X_PROJECT_ID", "project")
            environ.setdefault("HTTP_X_ROLES", "admin,member")
            environ.setdefault("HTTP_X_SERVICE_CATALOG", "[]")
            return app(environ, start_response)
        return identified
    return filter

def record(global_conf, **local_conf):
    def filter(app):
        target = os.open(RECORD, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        def recorded(environ, start_response):
            line = json.dumps({
                "method": environ["REQUEST_METHOD"],
                "path": environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""),
                "query": environ.get("QUERY_STRING", ""),
                "contentLength": environ.get("CONTENT_LENGTH") or None,
                "transferEncoding": environ.get("HTTP_TRANSFER_ENCODING"),
                "token": environ.get("HTTP_X_AUTH_TOKEN"),
                "imageSize": environ.get("HTTP_X_OPENSTACK_IMAGE_SIZE"),
            })
            os.write(target, (line + "\\n").encode())
            return app(environ, start_response)
        return recorded
    return filter
`;

/**
 * Debian's pipeline without Keystone knows no owner, and the tasks table insists on one: every import ends in a 500.
 * So each request is given one identity, and goes through the middleware that Glance has behind Keystone.
 */
function withOurFilters(pasteIni: string): string {
  const open = /^(\[pipeline:glance-api\]\npipeline = )(.*)unauthenticated-context(.*)$/m;
  const guarded = /^(\[pipeline:glance-api-keystone\]\npipeline = )/m;
  if (!open.test(pasteIni) || !guarded.test(pasteIni)) throw new Error(`other pipelines in ${PASTE_INI}`);
  const filters = ["identity", "record"].map(
    (name) => `[filter:${name}]\npaste.filter_factory = ${MODULE}:${name}\n`,
  );
  const pipelines = pasteIni.replace(open, "$1record $2identity context$3").replace(guarded, "$1record ");
  return [pipelines, ...filters].join("\n");
}
