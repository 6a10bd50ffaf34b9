/** The memory of a process as the Linux kernel counts it. */
import { readFile, writeFile } from "node:fs/promises";

/** Resident bytes now. */
export function residentBytes(pid: number): Promise<number> {
  return statusBytes(pid, "VmRSS");
}

/** The most that was resident since the process began, or since `restartPeak`. */
export function peakBytes(pid: number): Promise<number> {
  return statusBytes(pid, "VmHWM");
}

/** The peak starts over at what is resident now. */
export function restartPeak(pid: number): Promise<void> {
  return writeFile(`/proc/${pid}/clear_refs`, "5");
}

async function statusBytes(pid: number, field: "VmRSS" | "VmHWM"): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const kib = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status)?.[1];
  return Number(kib) * 1024;
}
