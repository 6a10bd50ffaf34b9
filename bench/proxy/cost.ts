/** What a process and its children have cost so far, as the kernel counts it. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

const TICKS_PER_SECOND = 100;

function stat(pid: number): readonly string[] {
  const text = readFileSync(`/proc/${pid}/stat`, "latin1");
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
}

/** @returns the process and what it has started. */
function family(pid: number): number[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const children = pids.filter((child) => {
    try {
      return stat(Number(child))[1] === String(pid);
    } catch {
      return false; // ended meanwhile
    }
  });
  return [pid, ...children.flatMap((child) => family(Number(child)))];
}

export function cpuSeconds(pid: number): number {
  const ticks = family(pid).map((member) => {
    const fields = stat(member);
    return Number(fields[11]) + Number(fields[12]);
  });
  return ticks.reduce((sum, one) => sum + one, 0) / TICKS_PER_SECOND;
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
