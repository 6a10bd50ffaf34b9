/** Starts the program that is on disk now, with the sockets of this process. It listens before this process stops. */
import { type ChildProcess, spawn } from "node:child_process";
import type { Descriptors } from "./admin/proxy-server.js";
import { PREDECESSOR_VARIABLE, type PredecessorAddresses } from "./inherited.js";

/** What the new process sends when it listens. */
const LISTENS = "listens";

/** A new process that does not listen after this time is ended. A start takes a few seconds, even with many workers. */
const START_TIMEOUT_MS = 60_000;

export interface Successor {
  readonly pid: number | undefined;
  /** Resolves when the new process listens. Rejects if it ends before, or if it took too long and was ended. */
  readonly listening: Promise<void>;
  /** Ends the new process. */
  kill(): void;
}

/**
 * Runs the same command with the same arguments and environment.
 *
 * @param opened the addresses for which the descriptors were opened.
 * @param timeoutMs how long the new process may take until it listens.
 */
export function startSuccessor(
  { listen, admin }: Required<Descriptors>,
  opened: PredecessorAddresses,
  timeoutMs = START_TIMEOUT_MS,
): Successor {
  let child: ChildProcess;
  try {
    child = spawnSame({ listen, admin }, opened);
  } catch (error) {
    // Node throws some faults of `spawn`, such as ETXTBSY and ENOMEM, and emits the others.
    return {
      pid: undefined,
      listening: Promise.reject(
        new Error(`it cannot be started (${String((error as NodeJS.ErrnoException).code)})`),
      ),
      kill: () => undefined,
    };
  }
  return {
    pid: child.pid,
    listening: untilListening(child, timeoutMs),
    kill: () => void child.kill(),
  };
}

function spawnSame({ listen, admin }: Required<Descriptors>, opened: PredecessorAddresses): ChildProcess {
  return spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    // The numbers 3 and 4 are those of `inherited.ts`.
    stdio: ["inherit", "inherit", "inherit", listen, admin, "ipc"],
    env: { ...process.env, [PREDECESSOR_VARIABLE]: JSON.stringify(opened) },
  });
}

/** Tells the older process that this one listens. */
export function tellPredecessor(): void {
  process.send?.(LISTENS, undefined, undefined, () => {
    if (process.connected) process.disconnect();
  });
}

function untilListening(child: ChildProcess, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`it did not listen within ${timeoutMs / 1000} s, and was killed`));
      child.kill("SIGKILL"); // a process that hangs may not hear anything else
    }, timeoutMs);
    child.once("message", (message) => {
      if (message !== LISTENS) return;
      // This process must not wait for the end of the new one.
      child.unref();
      clearTimeout(timer);
      resolve();
    });
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      clearTimeout(timer);
      reject(new Error(`it ended with ${String(signal ?? code)} before it listened`));
    });
  });
}
