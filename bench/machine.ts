/** Where a benchmark has run: what a reader needs to judge its figures. */
import { readFile } from "node:fs/promises";
import { availableParallelism, totalmem } from "node:os";

/** Linux counts in these, whatever the kernel's own clock is. */
const TICKS_PER_SECOND = 100;

export function describeMachine(): string {
  return `${Math.round(totalmem() / 2 ** 30)} GiB of memory, ${availableParallelism()} cores`;
}

/** How many cores' time was taken by others than these processes during `act`: zero on a machine of one's own. */
export async function othersDuring<T>(
  pids: readonly number[],
  act: () => Promise<T>,
): Promise<readonly [result: T, cores: number]> {
  const [startedAt, before] = [performance.now(), await othersSeconds(pids)];
  const result = await act();
  const used = (await othersSeconds(pids)) - before;
  // Rounded to ticks, nothing may be less than nothing.
  return [result, Math.max((used * 1000) / (performance.now() - startedAt), 0)];
}

async function othersSeconds(pids: readonly number[]): Promise<number> {
  const own = await Promise.all(pids.map(processTicks));
  return own.reduce((rest, ticks) => rest - ticks, await machineTicks()) / TICKS_PER_SECOND;
}

/** What programs took, and what the hypervisor gave to other machines. */
async function machineTicks(): Promise<number> {
  const [line = ""] = (await readFile("/proc/stat", "utf8")).split("\n");
  const [user = 0, nice = 0, system = 0, , , , , steal = 0] = line.split(/\s+/).slice(1).map(Number);
  return user + nice + system + steal;
}

async function processTicks(pid: number): Promise<number> {
  // The name may hold anything, blanks and brackets included; the fields come after its last bracket.
  const fields = (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ").at(-1)?.split(" ") ?? [];
  return Number(fields[11]) + Number(fields[12]);
}
