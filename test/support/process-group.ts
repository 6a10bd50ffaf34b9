/**
 * Servers of other makers, in a fresh directory of their own, each with its children in a process group of its own, so that all of them
 * end together.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** What the servers of a directory write. */
export const LOG_FILE = "servers.log";

export interface GroupOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** If this process is root: the user that the group runs as. Default root. */
  readonly user?: string | undefined;
}

export interface Servers {
  readonly directory: string;
  /** @returns the id of the group's first process. */
  readonly start: (command: readonly string[], options?: GroupOptions) => Promise<number>;
  /** Asks again and again. @throws Error if one of the servers ends, or after a minute. */
  readonly untilReady: (isReady: () => Promise<boolean>, timeoutMs?: number) => Promise<void>;
}

interface ProcessGroup {
  readonly pid: number;
  /** How the first process of the group ended; undefined while it runs. */
  exit(): string | undefined;
  /** Ends the whole group. */
  end(): Promise<void>;
}

const START_TIMEOUT_MS = 60_000;
const POLL_MS = 20;
const STOP_PATIENCE_MS = 2_000;
const SHOWN_LINES = 40;

/**
 * @param name for the directory and the error.
 * @param start rejects if they cannot be started; then those that run end, and the error has the end of their log.
 * @returns what `start` returns, and `stop`, which ends the servers and removes the directory.
 */
export async function startServers<Started extends object>(
  name: string,
  start: (servers: Servers) => Promise<Started>,
): Promise<Started & { stop(): Promise<void> }> {
  const directory = await mkdtemp(join(tmpdir(), `${name}-`));
  const logFile = join(directory, LOG_FILE);
  await writeFile(logFile, "");
  const groups: ProcessGroup[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(groups.map((group) => group.end()));
    await rm(directory, { recursive: true, force: true });
  };
  const servers: Servers = {
    directory,
    async start(command, options = {}) {
      const group = await startGroup(command, directory, options);
      groups.push(group);
      return group.pid;
    },
    async untilReady(isReady, timeoutMs = START_TIMEOUT_MS) {
      const deadline = performance.now() + timeoutMs;
      while (!(await isReady())) {
        const exit = groups.map((group) => group.exit()).find((how) => how !== undefined);
        if (exit !== undefined) throw new Error(`ended with ${exit} while starting`);
        if (performance.now() > deadline) throw new Error(`not ready within ${timeoutMs} ms`);
        await delay(POLL_MS);
      }
    },
  };
  try {
    return { ...(await start(servers)), stop };
  } catch (error) {
    const log = (await readFile(logFile, "utf8")).trimEnd().split("\n").slice(-SHOWN_LINES).join("\n");
    await stop();
    throw new Error(`${name} did not start; the end of its log:\n${log}`, { cause: error });
  }
}

/** Should this process be killed before it can end the group, the kernel sends the group's first process a SIGTERM. */
async function startGroup(
  command: readonly string[],
  directory: string,
  { env = {}, user }: GroupOptions,
): Promise<ProcessGroup> {
  const log = await open(join(directory, LOG_FILE), "a");
  const identity =
    user === undefined || process.getuid?.() !== 0
      ? []
      : ["--reuid", user, "--regid", user, "--clear-groups"];
  const child = spawn("/usr/bin/setpriv", ["--pdeathsig", "TERM", ...identity, "--", ...command], {
    cwd: directory,
    detached: true,
    stdio: ["ignore", log.fd, log.fd],
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: directory, LANG: "C.UTF-8", ...env },
  });
  await once(child, "spawn");
  await log.close();
  const exit = (): string | undefined => child.signalCode ?? child.exitCode?.toString();
  return { pid: child.pid ?? 0, exit, end: () => endGroup(child) };
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
