/** Servers of other makers, each with its children in a process group of its own, so that all of them end together. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { open } from "node:fs/promises";

export interface ProcessGroup {
  readonly pid: number;
  /** How the first process of the group ended; undefined while it runs. */
  exit(): string | undefined;
  /** Ends the whole group. */
  end(): Promise<void>;
}

export interface GroupOptions {
  readonly directory: string;
  /** Takes what the group writes, behind what is there. */
  readonly logFile: string;
  readonly env?: Readonly<Record<string, string>>;
  /** If this process is root: the user that the group runs as. Default root. */
  readonly user?: string;
}

const STOP_PATIENCE_MS = 2_000;

/** Should this process be killed before it can end the group, the kernel sends the group's first process a SIGTERM. */
export async function startGroup(command: readonly string[], options: GroupOptions): Promise<ProcessGroup> {
  const { directory, logFile, env = {}, user } = options;
  const log = await open(logFile, "a");
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
