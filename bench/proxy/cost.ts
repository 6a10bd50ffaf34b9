/** What a process and its children have cost so far, as the kernel counts it. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

function parentOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, "latin1");
  return Number(text.slice(text.lastIndexOf(")") + 2).split(" ")[1]);
}

/** @returns the process and what it has started. */
function family(pid: number): number[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const children = pids.filter((child) => {
    try {
      return parentOf(Number(child)) === pid;
    } catch {
      return false; // ended meanwhile
    }
  });
  return [pid, ...children.flatMap((child) => family(Number(child)))];
}

/** Of the threads that live: none of those proxies ends any. */
export function cpuSeconds(pid: number): number {
  const nanoseconds = family(pid).flatMap((member) =>
    readdirSync(`/proc/${member}/task`).map((thread) =>
      Number.parseInt(readFileSync(`/proc/${member}/task/${thread}/schedstat`, "latin1")),
    ),
  );
  return nanoseconds.reduce((sum, one) => sum + one, 0) / 1e9;
}

/** From here on {@link peakMiB} counts anew. */
export function forgetPeak(pid: number): void {
  for (const member of family(pid)) writeFileSync(`/proc/${member}/clear_refs`, "5");
}

export function peakMiB(pid: number): number {
  const kib = family(pid).map((member) =>
    Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${member}/status`, "latin1"))?.[1]),
  );
  return kib.reduce((sum, one) => sum + one, 0) / 1024;
}
