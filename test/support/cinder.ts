/**
 * A real Cinder of this machine, from Debian's `python3-cinder` (the library, without the services): API, scheduler and volume manager in
 * one process, which therefore needs no message broker. SQLite, no Keystone; the volumes lie in a real Ceph.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Ceph } from "./ceph.js";
import { freePort } from "./free-port.js";
import { startServers } from "./process-group.js";
import type { Requirement } from "./provided.js";
import { request } from "./raw-http.js";
import { run } from "./run.js";

export const CINDER_REQUIREMENTS: readonly Requirement[] = ["ceph", "cinder"];

export interface Volume {
  readonly id: string;
  readonly status: string;
  /** In GiB. */
  readonly size: number;
}

export interface Cinder {
  readonly port: number;
  /** Of all projects. */
  volumes(): Promise<Volume[]>;
  stop(): Promise<void>;
}

const POOL = "volumes";

/** Starts it and waits until it can make volumes. */
export function startCinder(ceph: Ceph): Promise<Cinder> {
  return startServers("cinder", async ({ directory, start, untilReady }) => {
    const port = await freePort();
    await ceph.command("ceph", "osd", "pool", "create", POOL, "8");
    await ceph.command("rbd", "pool", "init", POOL);
    await mkdir(join(directory, "lock"));
    // os-brick reads how to reach a cluster from a file of this name, in /etc/ceph.
    await writeFile(join(directory, "ceph.client.admin.keyring"), ceph.clientConfig);
    const configFile = join(directory, "cinder.conf");
    await writeFile(join(directory, "api-paste.ini"), PASTE_INI);
    await writeFile(configFile, config(directory, port, ceph.configFile));
    const cinder = (script: string): string[] => [
      "/usr/bin/python3",
      "-c",
      script,
      "--config-file",
      configFile,
    ];
    const [file = "", ...args] = cinder(`${MANAGE}`);
    const synced = await run(file, [...args, "db", "sync"], { timeoutMs: 120_000 });
    if (synced.code !== 0) throw new Error(`cinder-manage db sync failed:\n${synced.stdout}${synced.stderr}`);
    await start(cinder(SERVE));
    const ask = (path: string) =>
      request(port, "GET", `/v3/project/${path}`, { headers: { "X-Auth-Token": "user:project" } });
    await untilReady(async () => {
      const answer = await ask("scheduler-stats/get_pools").catch(() => undefined);
      return answer?.status === 200 && (answer.json() as { pools: unknown[] }).pools.length > 0;
    });
    return {
      port,
      volumes: async () =>
        ((await ask("volumes/detail?all_tenants=1")).json() as { volumes: Volume[] }).volumes,
    };
  });
}

const MANAGE = `
import sys
from cinder.cmd.manage import main
sys.argv[0] = "cinder-manage"
main()
`;

/** As the three commands do, but in one process. */
const SERVE = `
import sys
import eventlet
eventlet.monkey_patch()
from oslo_config import cfg
from oslo_log import log as logging
from oslo_service import service as oslo_service
import os_brick
from cinder import context, coordination, objects, rpc, service, version
from cinder.common import config
CONF = cfg.CONF
objects.register_all()
from cinder.cmd import api, scheduler, volume
CONF(sys.argv[1:], project="cinder", version=version.version_string())
config.set_middleware_defaults()
logging.setup(CONF, "cinder")
os_brick.setup(CONF)
coordination.COORDINATOR.start()
rpc.init(CONF)
launcher = oslo_service.ServiceLauncher(CONF)
launcher.launch_service(service.Service.create(binary="cinder-scheduler"))
launcher.launch_service(service.Service.create(
    binary="cinder-volume", host=CONF.host + "@ceph", service_name="ceph", coordination=False, cluster=None))
launcher.launch_service(service.WSGIService("osapi_volume"))
launcher.wait()
`;

const PASTE_INI = `[composite:osapi_volume]
use = call:cinder.api:root_app_factory
/: versions
/v3: volumes
[composite:volumes]
use = call:cinder.api.middleware.auth:pipeline_factory
noauth = request_id faultwrap noauth api
[filter:request_id]
paste.filter_factory = oslo_middleware.request_id:RequestId.factory
[filter:faultwrap]
paste.filter_factory = cinder.api.middleware.fault:FaultWrapper.factory
[filter:noauth]
paste.filter_factory = cinder.api.middleware.auth:NoAuthMiddleware.factory
[app:api]
paste.app_factory = cinder.api.v3.router:APIRouter.factory
[app:versions]
paste.app_factory = cinder.api.versions:Versions.factory
`;

const config = (directory: string, port: number, cephConf: string): string => `[DEFAULT]
host = stores
my_ip = 127.0.0.1
state_path = ${directory}
api_paste_config = ${join(directory, "api-paste.ini")}
auth_strategy = noauth
project_id_regex = [a-z]+
transport_url = fake:
osapi_volume_listen = 127.0.0.1
osapi_volume_listen_port = ${port}
osapi_volume_workers = 1
enabled_backends = ceph
rootwrap_config = /dev/null
[database]
connection = sqlite:///${join(directory, "cinder.sqlite")}?timeout=30
sqlite_synchronous = false
[oslo_concurrency]
lock_path = ${join(directory, "lock")}
[coordination]
backend_url = file://${directory}
[ceph]
volume_driver = cinder.volume.drivers.rbd.RBDDriver
volume_backend_name = ceph
rbd_pool = ${POOL}
rbd_user = admin
rbd_ceph_conf = ${cephConf}
rbd_cluster_name = ../..${join(directory, "ceph")}
`;
