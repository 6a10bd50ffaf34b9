/** What Linux shows of other programs' processes. */
import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

const SAMPLE_INTERVAL_MS = 50;

/** The one child of a process. @throws where there is none, or more than one. */
export async function onlyChild(pid: number): Promise<number> {
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, "utf8")).split(" ").filter(Boolean);
  if (children.length !== 1) throw new Error(`process ${pid} has ${children.length} children, not one`);
  return Number(children[0]);
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
