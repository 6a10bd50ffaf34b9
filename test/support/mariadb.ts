/**
 * A real MariaDB of this machine, from Debian's `mariadb-server-core`: the server without the service. Its data lies in a fresh
 * directory of its own, and it listens on a Unix socket only.
 */
import { userInfo } from "node:os";
import { join } from "node:path";
import { startServers } from "./process-group.js";
import type { Requirement } from "./provided.js";
import { run } from "./run.js";

export const MARIADB_REQUIREMENTS: readonly Requirement[] = ["mariadb"];

export interface MariaDb {
  /** Makes an empty database. @returns what SQLAlchemy connects to. */
  create(name: string): Promise<string>;
  stop(): Promise<void>;
}

/** Starts it and waits until it answers. */
export function startMariaDb(): Promise<MariaDb> {
  return startServers("mariadb", async ({ directory, start, untilReady }) => {
    const [data, socket, user] = [join(directory, "data"), join(directory, "socket"), userInfo().username];
    const own = ["--no-defaults", `--datadir=${data}`, `--user=${user}`];
    const install = [...own, "--auth-root-authentication-method=normal", "--skip-test-db"];
    const installed = await run("/usr/bin/mariadb-install-db", install);
    if (installed.code !== 0)
      throw new Error(`mariadb-install-db failed:\n${installed.stdout}${installed.stderr}`);
    // What a crash could lose does not matter here.
    const fast = ["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M"];
    const address = [`--socket=${socket}`, "--skip-networking", `--pid-file=${join(directory, "pid")}`];
    await start(["/usr/sbin/mariadbd", ...own, ...address, ...fast]);
    const ask = (statement: string) =>
      run("/usr/bin/mariadb", ["--no-defaults", `--socket=${socket}`, "--user=root", "-e", statement]);
    await untilReady(async () => (await ask("SELECT 1")).code === 0);
    return {
      async create(name) {
        const { code, stderr } = await ask(`CREATE DATABASE ${name} CHARACTER SET utf8`);
        if (code !== 0) throw new Error(`no database was created:\n${stderr}`);
        return `mysql+pymysql://root@localhost/${name}?unix_socket=${socket}&charset=utf8`;
      },
    };
  });
}
