/** Servers that are told by a file where to listen: one process each, in a directory of its own. */
import { writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { freePort } from "../test/support/free-port.js";
import { startServers } from "../test/support/process-group.js";
import { connect } from "../test/support/raw-http.js";

export interface Configured {
  readonly pid: number;
  readonly port: number;
  /** Where it keeps bodies, among others. */
  readonly directory: string;
  stop(): Promise<void>;
}

/**
 * Resolves when it listens.
 * @param args that name its configuration file, and keep it in the foreground.
 * @param configure what is in that file.
 */
export async function startConfigured(
  program: string,
  args: (configFile: string) => readonly string[],
  configure: (port: number, directory: string) => string,
): Promise<Configured> {
  const name = basename(program);
  return startServers(name, async ({ directory, start, untilReady }) => {
    const port = await freePort();
    const configFile = join(directory, `${name}.conf`);
    await writeFile(configFile, configure(port, directory));
    const pid = await start([program, ...args(configFile)]);
    await untilReady(async () => {
      const peer = await connect(port).catch(() => undefined);
      peer?.destroy();
      return peer !== undefined;
    });
    return { pid, port, directory };
  });
}
