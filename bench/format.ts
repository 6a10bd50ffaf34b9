/** Figures as text. Pure. */
import { sizeBytes } from "../src/config/values.js";

/** `64 MiB`, `1 GiB`. */
export function printSize(bytes: number): string {
  return String(sizeBytes.encode(bytes)).replace(/(?=[A-Z])/, " ");
}

/** To the MiB. */
export function printMemory(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}

export function printSeconds(seconds: number): string {
  return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
}

export function printRatio(ratio: number): string {
  return `×${ratio.toFixed(2)}`;
}
