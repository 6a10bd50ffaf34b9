/**
 * A real Ceph of this machine, from Debian's `ceph-mon` and `ceph-osd`: one monitor, and one OSD that keeps its objects in memory, in a
 * fresh directory of its own. No authentication, no service, nothing in `/etc`.
 */
import { randomUUID } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { freePort } from "./free-port.js";
import type { GlanceStore } from "./glance-config.js";
import { startServers } from "./process-group.js";
import type { Requirement } from "./provided.js";
import { run } from "./run.js";

export const CEPH_REQUIREMENTS: readonly Requirement[] = ["ceph"];

export interface Ceph {
  readonly configFile: string;
  /** Lines of a section `[global]` that a client needs. */
  readonly clientConfig: string;
  /** Runs one of Ceph's commands. @returns what it wrote. @throws Error if it fails. */
  command(program: string, ...args: string[]): Promise<string>;
  /** Of Glance's images. */
  readonly store: GlanceStore;
  /** Names of the RBD images that there are. Glance names each by its image's id. */
  list(): Promise<string[]>;
  stop(): Promise<void>;
}

const POOL = "images";

/** Starts it and waits until it takes writes. */
export function startCeph(): Promise<Ceph> {
  return startServers("ceph", async ({ directory, start }) => {
    const configFile = join(directory, "ceph.conf");
    const ceph = async (program: string, ...args: string[]): Promise<string> => {
      const result = await run(`/usr/bin/${program}`, ["--conf", configFile, ...args]);
      if (result.code !== 0) throw new Error(`${program} ${args.join(" ")} failed:\n${result.stderr}`);
      return result.stdout;
    };
    const serve = (program: string, id: string): Promise<unknown> =>
      start([`/usr/bin/${program}`, "--conf", configFile, "--id", id, "--foreground"]);
    for (const name of ["mon", "osd", "run"]) await mkdir(join(directory, name));
    // Over the older protocol, without authentication, a client may send its command before it knows the cluster's id: "wrong fsid".
    const monitor = `v2:127.0.0.1:${await freePort()}`;
    const clusterId = randomUUID();
    await writeFile(configFile, config(directory, monitor, clusterId));

    const map = join(directory, "monmap");
    await ceph("monmaptool", "--create", "--fsid", clusterId, "--addv", "a", `[${monitor}]`, map);
    await ceph("ceph-mon", "--id", "a", "--mkfs", "--monmap", map);
    await serve("ceph-mon", "a");

    const osdId = randomUUID();
    await ceph("ceph", "osd", "new", osdId);
    await ceph("ceph-osd", "--id", "0", "--mkfs", "--osd-uuid", osdId);
    await serve("ceph-osd", "0");

    await ceph("ceph", "osd", "pool", "create", POOL, "8");
    await ceph("rbd", "pool", "init", POOL); // waits until the OSD has written
    return {
      configFile,
      clientConfig: `mon_host = [${monitor}]\nauth_client_required = none\n`,
      command: ceph,
      store: {
        type: "rbd",
        options: [
          `rbd_store_pool = ${POOL}`,
          "rbd_store_user = admin",
          `rbd_store_ceph_conf = ${configFile}`,
        ],
      },
      list: async () => (await ceph("rbd", "ls", POOL)).split("\n").filter((name) => name !== ""),
    };
  });
}

const config = (directory: string, monitor: string, clusterId: string): string => `[global]
fsid = ${clusterId}
mon_host = [${monitor}]
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_bind_msgr1 = false
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
run_dir = ${join(directory, "run")}
admin_socket = ${join(directory, "run", "$cluster-$name.$pid.asok")}
log_file =
mon_cluster_log_file =
[mon]
mon_data = ${join(directory, "mon")}
mon_allow_pool_size_one = true
mon_data_avail_crit = 1
osd_pool_default_size = 1
osd_crush_chooseleaf_type = 0
[osd]
osd_data = ${join(directory, "osd")}
osd_objectstore = memstore
memstore_device_bytes = 2147483648
[client]
admin_socket =
`;
