/** Where a benchmark has run: what a reader needs to judge its figures. */
import { availableParallelism, loadavg, totalmem } from "node:os";

/** What else keeps the machine busy makes every figure larger. */
const QUIET_LOAD = 0.5;

export function describeMachine(): string {
  return `${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GiB of memory`;
}

/** To be looked at before the benchmark itself makes load. Undefined where the machine is quiet. */
export function noiseWarning(): string | undefined {
  const [load = 0] = loadavg();
  return load > QUIET_LOAD
    ? `the machine was busy before the run began (load ${load.toFixed(1)})`
    : undefined;
}
