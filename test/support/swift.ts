/**
 * A real Swift of this machine, from Debian's `python3-swift` (the library, without the services) and `memcached`: one server of each
 * kind, one copy of each object, in a fresh directory of its own. Its user is one of Swift's own `tempauth`. It is an S3, too (`s3api`).
 */
import { mkdir, writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.js";
import { startServers } from "./process-group.js";
import type { Requirement } from "./provided.js";
import { answers, request } from "./raw-http.js";
import { run } from "./run.js";

export const SWIFT_REQUIREMENTS: readonly Requirement[] = ["swift"];

export interface Swift {
  readonly port: number;
  readonly user: { readonly name: string; readonly key: string };
  /** That user's, for S3; the secret key is {@link user}'s. */
  readonly accessKey: string;
  /** Names of a container's objects; empty if there is no such container. */
  list(container: string): Promise<string[]>;
  /** Deletes all of them. */
  clear(container: string): Promise<void>;
  stop(): Promise<void>;
}

const MODULE = "s3_names";
const USER = { name: "test:tester", key: "testing" };
const ACCESS_KEY = "access";
const SERVERS = ["account", "container", "object"] as const;
type Ports = Readonly<Record<(typeof SERVERS)[number] | "proxy" | "memcached", number>>;

/** Starts it and waits until it answers. */
export function startSwift(): Promise<Swift> {
  return startServers("swift", async ({ directory, start, untilReady }) => {
    const ports = {
      account: await freePort(),
      container: await freePort(),
      object: await freePort(),
      proxy: await freePort(),
      memcached: await freePort(),
    };
    await prepare(directory, ports);
    const { username } = userInfo();
    await start(["/usr/bin/memcached", "-l", "127.0.0.1", "-p", `${ports.memcached}`, "-u", username]);
    for (const name of [...SERVERS, "proxy"])
      await start(["/usr/bin/python3", "-c", RUN, directory, `${name}-server`], {
        env: { PYTHONPATH: directory },
      });
    await untilReady(() => answers(ports.proxy, "/healthcheck"));

    const ask = (target: string, headers: Record<string, string>, method = "GET") =>
      request(ports.proxy, method, target, { headers });
    const login = { "X-Auth-User": USER.name, "X-Auth-Key": USER.key };
    // The proxy server answers before the servers behind it do.
    const token = async (): Promise<string> => (await ask("/auth/v1.0", login)).headers["x-auth-token"] ?? "";
    const object = async (path: readonly string[], method?: string) =>
      ask(
        `/v1/AUTH_test/${path.map(encodeURIComponent).join("/")}`,
        { "X-Auth-Token": await token() },
        method,
      );
    await untilReady(async () => (await object([])).status < 300);
    const list = async (container: string): Promise<string[]> => {
      const answer = await object([container]);
      return answer.status === 200 ? answer.text.split("\n").filter((name) => name !== "") : [];
    };
    return {
      port: ports.proxy,
      user: USER,
      accessKey: ACCESS_KEY,
      list,
      async clear(container) {
        for (const name of await list(container)) await object([container, name], "DELETE");
      },
    };
  });
}

/** Configuration, and the rings, which say where each object lies. */
async function prepare(directory: string, ports: Ports): Promise<void> {
  await mkdir(join(directory, "devices", "one"), { recursive: true });
  await writeFile(join(directory, "swift.conf"), "[swift-hash]\nswift_hash_path_suffix = suffix\n");
  for (const name of SERVERS)
    await writeFile(join(directory, `${name}-server.conf`), storageConfig(directory, name, ports[name]));
  await writeFile(join(directory, "proxy-server.conf"), proxyConfig(directory, ports));
  await writeFile(join(directory, `${MODULE}.py`), FILTERS);
  const places = SERVERS.map((name) => [name, ports[name]]);
  const rings = await run("/usr/bin/python3", ["-c", RINGS, directory, JSON.stringify(places)]);
  if (rings.code !== 0) throw new Error(`no rings were made:\n${rings.stderr}`);
}

/** What the command of the Debian package with the service does. */
const RUN = `
import sys
from swift.common.utils import set_swift_dir
set_swift_dir(sys.argv[1])
from swift.common.wsgi import run_wsgi
sys.exit(run_wsgi("%s/%s.conf" % (sys.argv[1], sys.argv[2]), sys.argv[2]))
`;

/** `tempauth` takes its users' names for access keys, but Glance's S3 store takes none with a colon. */
const FILTERS = `
def access_key(global_conf, **local_conf):
    def filter(app):
        def renamed(environ, start_response):
            details = environ.get("s3api.auth_details")
            if details:
                path = environ["PATH_INFO"]
                environ["PATH_INFO"] = path.replace(details["access_key"], "${USER.name}", 1)
                details["access_key"] = "${USER.name}"
            return app(environ, start_response)
        return renamed
    return filter
`;

const RINGS = `
import json, sys
from swift.common.ring import RingBuilder
directory, places = sys.argv[1], json.loads(sys.argv[2])
for name, port in places:
    builder = RingBuilder(1, 1, 0)
    where = {"region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": "one", "weight": 1.0}
    builder.add_dev({**where, "id": 0, "replication_ip": "127.0.0.1", "replication_port": port, "meta": ""})
    builder.rebalance()
    builder.get_ring().save("%s/%s.ring.gz" % (directory, name))
`;

/** No process beside the one that was started; no syslog. */
const common = (directory: string, port: number): string => `[DEFAULT]
bind_ip = 127.0.0.1
bind_port = ${port}
user = ${userInfo().username}
swift_dir = ${directory}
workers = 0
log_address = /dev/null
`;

const storageConfig = (directory: string, name: string, port: number): string => `${common(directory, port)}
devices = ${join(directory, "devices")}
mount_check = false
fallocate_reserve = 0
[pipeline:main]
pipeline = ${name}-server
[app:${name}-server]
use = egg:swift#${name}
`;

const proxyConfig = (directory: string, ports: Ports): string => `${common(directory, ports.proxy)}
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats s3api access_key tempauth copy bulk slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:${ports.memcached}
[filter:access_key]
paste.filter_factory = ${MODULE}:access_key
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = ${USER.key} .admin
${["catch_errors", "gatekeeper", "healthcheck", "listing_formats", "s3api", "copy", "bulk", "slo", "dlo"]
  .map((name) => `[filter:${name}]\nuse = egg:swift#${name}\n`)
  .join("")}`;
