/** Servers that are told by a file where to listen: one process each, in a directory of its own. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { freePort } from "../test/support/free-port.js";
import { until } from "../test/support/glance-client.js";
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
  const directory = await mkdtemp(join(tmpdir(), `${name}-`));
  const port = await freePort();
  const configFile = join(directory, `${name}.conf`);
  await writeFile(configFile, configure(port, directory));
  const child = spawn(program, args(configFile), { stdio: ["ignore", "ignore", "inherit"] });
  const exited = once(child, "exit");
  const stop = async (): Promise<void> => {
    child.kill();
    await exited;
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await until(
      () => connect(port).catch(() => undefined),
      (peer) => {
        peer?.destroy();
        return peer !== undefined;
      },
    );
  } catch (cause) {
    await stop();
    throw new Error(`${name} does not listen`, { cause });
  }
  return { pid: child.pid ?? 0, port, directory, stop };
}
