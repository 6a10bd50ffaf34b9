/** What Linux shows of other programs' processes. */
import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { peakBytes, restartPeak } from "../test/support/process-memory.js";

const SAMPLE_INTERVAL_MS = 50;

/** The one child of a process. @throws Error if there is none, or more than one. */
export async function onlyChild(pid: number): Promise<number> {
  const [child, ...others] = await childrenOf(pid);
  if (child === undefined || others.length > 0)
    throw new Error(`process ${pid} has ${others.length + (child ? 1 : 0)} children, not one`);
  return child;
}

async function childrenOf(pid: number): Promise<number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8");
  return children.split(" ").filter(Boolean).map(Number);
}

/** A process, and what its main thread has started. */
async function family(pid: number): Promise<number[]> {
  const families = (await childrenOf(pid)).map(family);
  return [pid, ...(await Promise.all(families)).flat()];
}

async function sumOver(pid: number, count: (pid: number) => Promise<number>): Promise<number> {
  const counts = (await family(pid)).map(count);
  return (await Promise.all(counts)).reduce((sum, one) => sum + one, 0);
}

/** CPU time that a process and its children have had, of the threads that live. To the nanosecond. */
export async function familyCpuSeconds(pid: number): Promise<number> {
  const nanoseconds = await sumOver(pid, async (member) => {
    const threads = (await readdir(`/proc/${member}/task`)).map(async (thread) =>
      Number.parseInt(await readFile(`/proc/${member}/task/${thread}/schedstat`, "latin1")),
    );
    return (await Promise.all(threads)).reduce((sum, one) => sum + one, 0);
  });
  return nanoseconds / 1e9;
}

/** The peaks of a process and its children, added up. */
export function familyPeakBytes(pid: number): Promise<number> {
  return sumOver(pid, peakBytes);
}

export async function restartFamilyPeak(pid: number): Promise<void> {
  await Promise.all((await family(pid)).map(restartPeak));
}

/** The most bytes in files below a directory that a process has open during `act`, whether they have a name or not. */
export async function peakDisk<T>(
  pid: number,
  directory: string,
  act: () => Promise<T>,
): Promise<readonly [result: T, bytes: number]> {
  const over = new AbortController();
  const watch = async (): Promise<number> => {
    let peak = 0;
    while (!over.signal.aborted) {
      peak = Math.max(peak, await openFileBytes(pid, directory));
      await delay(SAMPLE_INTERVAL_MS, undefined, { signal: over.signal }).catch(() => undefined);
    }
    return peak;
  };
  return Promise.all([act().finally(() => over.abort()), watch()]);
}

async function openFileBytes(pid: number, directory: string): Promise<number> {
  const descriptors = await readdir(`/proc/${pid}/fd`);
  const sizes = descriptors.map(async (descriptor) => {
    const path = `/proc/${pid}/fd/${descriptor}`;
    try {
      return (await readlink(path)).startsWith(`${directory}/`) ? (await stat(path)).size : 0;
    } catch {
      return 0; // closed meanwhile
    }
  });
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
