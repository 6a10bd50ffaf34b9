/**
 * The worker processes. Some are active: they accept connections, and one that dies is replaced. Others are retired: a later
 * configuration has replaced them, and they finish what they have.
 */
import cluster, { type Worker } from "node:cluster";
import { setTimeout as delay } from "node:timers/promises";
import type { Listening } from "../client/server.js";
import type { Log } from "../observe/log.js";
import type { LogOutput } from "../observe/log-output.js";
import { readLines } from "../observe/read-lines.js";
import type { WorkerOptions } from "./calls.js";
import type { ClusterFigures } from "./cluster-figures.js";
import { createWorkerHandle, type WorkerHandle, type WorkerServices } from "./worker-handle.js";

/** If a worker lived for less than this, its replacement starts after a delay: the same fault may kill the replacement. */
const SHORT_LIFE_MS = 5_000;
const RESTART_DELAY_MS = 1_000;
/** New workers that do not listen after this time have failed. */
const START_TIMEOUT_MS = 60_000;
/** A worker that was asked to end, and had nothing to finish, is killed after this time. */
const END_DELAY_MS = 5_000;
/**
 * Maximum number of workers that may be finishing when a reload starts new ones, or four times the active ones if that is more. A
 * process needs some 100 MB.
 */
const MOST_RETIRED = 16;

/** What the active workers are. */
export interface Plan {
  readonly count: number;
  readonly options: Omit<WorkerOptions, "descriptor">;
}

export interface CrewOptions {
  /** All workers. The crew adds and removes them. */
  readonly workers: Set<WorkerHandle>;
  readonly plan: Plan;
  readonly services: Omit<WorkerServices, "options">;
  readonly figures: ClusterFigures;
  readonly log: Log;
  readonly output: LogOutput;
}

export class Crew {
  readonly #options: CrewOptions;
  readonly #workers: Set<WorkerHandle>;
  #active = new Set<WorkerHandle>();
  #plan: Plan;
  /** Number of an inherited descriptor that listens. Undefined if the workers use the address. */
  #descriptor: number | undefined;
  /** Workers of earlier configurations, which finish what they have. */
  readonly #retired = new Set<WorkerHandle>();
  #ending = false;

  constructor(options: CrewOptions) {
    this.#options = options;
    this.#workers = options.workers;
    this.#plan = options.plan;
  }

  /** @returns the number of workers that take new connections. */
  get size(): number {
    return this.#active.size;
  }

  /** @returns the number of workers that finish what they have after a reload. */
  get retired(): number {
    return this.#retired.size;
  }

  get isListening(): boolean {
    return [...this.#active].some(({ isListening }) => isListening);
  }

  /** Starts the first workers. @throws Error if one of them cannot listen. */
  async start(descriptor: number | undefined): Promise<Listening> {
    this.#descriptor = descriptor;
    const starting = Array.from({ length: this.#plan.count }, () => this.#startActive(descriptor));
    const [first] = await Promise.all(starting);
    if (first === undefined) throw new Error("there are no workers");
    return first;
  }

  /** Replaces all active workers. @throws Error if a new worker cannot listen; then the old ones stay active. */
  async renew(plan: Plan): Promise<void> {
    await this.#waitForRoom();
    if (this.#ending) throw new Error("the proxy is ending");
    const fresh: WorkerHandle[] = [];
    try {
      const descriptor = this.#openDescriptor();
      while (fresh.length < plan.count) fresh.push(this.#fork(plan, descriptor));
      await allListening(fresh);
      if (this.#ending) throw new Error("the proxy is ending");
    } catch (error) {
      for (const worker of fresh) this.#dismiss(worker);
      throw error;
    }
    const old = [...this.#active];
    this.#plan = plan;
    this.#active = new Set(fresh.filter((worker) => this.#workers.has(worker)));
    for (let missing = plan.count - this.#active.size; missing > 0; missing -= 1)
      this.#replace(RESTART_DELAY_MS);
    await this.#retire(old);
  }

  /** Workers that die are no longer replaced. */
  stopReplacing(): void {
    this.#ending = true;
  }

  /**
   * The caller accepts no more connections. Resolves when all that were accepted have reached a worker: while one still waits, each
   * worker gets another one between two reports.
   */
  async untilHandedOver(): Promise<void> {
    const { figures } = this.#options;
    const count = async (): Promise<number> => {
      await figures.refresh();
      return [...this.#active].reduce((sum, { connections }) => sum + connections, 0);
    };
    let before = await count();
    for (let now = await count(); now !== before; now = await count()) before = now;
  }

  /** Asks the active workers to finish what they have. Resolves when all workers have ended. */
  async retireAll(): Promise<void> {
    await this.#retire([...this.#active]);
    await this.gone();
  }

  /** Resolves when all workers have ended. */
  async gone(): Promise<void> {
    await Promise.all([...this.#workers].map(({ gone }) => gone));
  }

  async #startActive(descriptor: number | undefined): Promise<Listening> {
    const worker = this.#fork(this.#plan, descriptor);
    this.#active.add(worker);
    try {
      return await worker.listening;
    } catch (error) {
      worker.kill();
      throw error;
    }
  }

  /** @throws Error if the system has no descriptor or memory left. */
  #fork(plan: Plan, descriptor: number | undefined): WorkerHandle {
    const child = cluster.fork();
    this.#readOutput(child);
    const options = { ...plan.options, descriptor };
    const worker = createWorkerHandle(child, { ...this.#options.services, options });
    this.#workers.add(worker);
    void worker.gone.then((how) => this.#bury(worker, how));
    return worker;
  }

  #readOutput({ process: { stdout, stderr } }: Worker): void {
    // Both are absent if no descriptor was free for them. Then there is no process either.
    if (stdout) readLines(stdout, (line) => this.#options.output.write(line));
    stderr?.on("data", (text: Buffer) => process.stderr.write(text));
  }

  /** Node closes an inherited descriptor with the last worker that listens on it. Its number may then belong to anything. */
  #openDescriptor(): number | undefined {
    if (![...this.#workers].some(({ isListening }) => isListening)) this.#descriptor = undefined;
    return this.#descriptor;
  }

  /** If the start fails, it is tried again later: the missing file, descriptor or memory may be available then. */
  #replace(delayMs: number): void {
    setTimeout(() => {
      if (this.#ending || this.#active.size >= this.#plan.count) return;
      const before = this.#active.size;
      this.#startActive(this.#openDescriptor()).catch((error: unknown) => {
        this.#options.log.error({ reason: (error as Error).message }, "a worker cannot start, retrying");
        // Without a process there is no end of one that would start the next attempt.
        if (this.#active.size === before) this.#replace(RESTART_DELAY_MS);
      });
    }, delayMs);
  }

  async #bury(worker: WorkerHandle, how: string): Promise<void> {
    const { figures, log } = this.#options;
    this.#workers.delete(worker);
    await figures.bury(worker);
    const wasActive = this.#active.delete(worker);
    if (this.#ending) return;
    const fields = { pid: worker.pid, how, uploads: worker.inFlight.size };
    if (wasActive && worker.hasListened) log.error(fields, "a worker died and is replaced");
    else if (worker.hasListened && how !== "0") log.error(fields, "a retired worker died");
    if (wasActive) this.#replace(performance.now() - worker.startedAt < SHORT_LIFE_MS ? RESTART_DELAY_MS : 0);
  }

  /** Workers may finish for hours. Without a bound, reloads would fill the memory with them, and that would cut their uploads. */
  async #waitForRoom(): Promise<void> {
    const since = new Date().toISOString();
    for (;;) {
      const limit = Math.max(MOST_RETIRED, 4 * this.#active.size);
      if (this.#retired.size + this.#active.size <= limit) return;
      const retired = [...this.#retired];
      const uploads = retired.reduce((sum, { inFlight }) => sum + inFlight.size, 0);
      this.#options.log.warn(
        { since, retiredWorkers: retired.length, uploads, limit },
        "the reload waits until retired workers end: new connections still get the old configuration",
      );
      await Promise.race(retired.map(({ gone }) => gone));
    }
  }

  /** Resolves when the workers get no more connections. */
  async #retire(workers: readonly WorkerHandle[]): Promise<void> {
    for (const worker of workers) {
      this.#active.delete(worker);
      this.#retired.add(worker);
      void worker.gone.then(() => this.#retired.delete(worker));
    }
    await Promise.all(workers.map((worker) => worker.retire()));
  }

  /** A new worker whose configuration does not come into force. It may have taken a connection already, and finishes it. */
  #dismiss(worker: WorkerHandle): void {
    if (!worker.isListening) setTimeout(() => worker.kill(), END_DELAY_MS).unref();
    void worker.retire();
  }
}

async function allListening(workers: readonly WorkerHandle[]): Promise<void> {
  const late = new AbortController();
  const timeout = delay(START_TIMEOUT_MS, undefined, { signal: late.signal }).then(() => {
    throw new Error(`a new worker does not listen after ${START_TIMEOUT_MS} ms`);
  });
  timeout.catch(() => undefined);
  try {
    await Promise.race([Promise.all(workers.map(({ listening }) => listening)), timeout]);
  } finally {
    late.abort();
  }
}
