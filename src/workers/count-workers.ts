import { availableParallelism } from "node:os";
import type { Config } from "../config/config.js";

/** @returns the number of worker processes. With 1 at the start, there is only one process. */
export function countWorkers({ workers }: Pick<Config, "workers">): number {
  return workers === "auto" ? availableParallelism() : workers;
}
