/** A worker process. It serves clients and reports to the primary process, which serves operators. */
import process from "node:process";
import { type BirpcReturn, createBirpc } from "birpc";
import type { Config } from "../config/config.js";
import { parseConfig } from "../config/load.js";
import { Members } from "../http/members.js";
import { createLog } from "../observe/log.js";
import { createLogOutput } from "../observe/log-output.js";
import { createMetrics } from "../observe/metrics.js";
import { createUploadsRegistry, type UploadsRegistry, type UploadView } from "../observe/uploads-registry.js";
import type { Quotas } from "../upload/quotas.js";
import type { ReplayMemory } from "../upload/replay-memory.js";
import type { ServeClients } from "../upload/serve-options.js";
import { createUpstream, type Upstream } from "../upstream/upstream.js";
import type {
  NumberedUpload,
  PrimaryCalls,
  WorkerCalls,
  WorkerOptions,
  WorkerReport,
  WorkerStart,
} from "./calls.js";
import { createLeasedQuota } from "./leased-quota.js";

/** How many bytes of the spool a worker reserves at once, unless 1/1024 of `spool.maxTotal` is less. */
const SPOOL_BLOCK_BYTES = 1024 * 1024;

/** How long an exiting worker waits for the primary to read its log, milliseconds. The wait is this long only if the primary hangs. */
const LOG_PATIENCE_MS = 1_000;

type Primary = BirpcReturn<PrimaryCalls, WorkerCalls>;

interface Viewed {
  view(): UploadView;
}

/**
 * Resolves when the primary knows whether this worker listens.
 *
 * @param serveClients serves client requests. A parameter, because this folder must not import the request path.
 */
export async function runWorker(serveClients: ServeClients): Promise<void> {
  const metrics = createMetrics();
  const output = createLogOutput();
  metrics.watchLog(output);
  const inFlight = new NumberedUploads();
  let clients: ReturnType<typeof serveClients> | undefined;
  let upstream: Upstream | undefined;
  let ending: Promise<void> | undefined;

  const primary = connectToPrimary({
    report,
    retire: () => endAfter(clients?.retire()),
    drain: (timeoutMs) => endAfter(clients?.drain(timeoutMs)),
  });
  // A terminal or a service manager sends the signal to every process. Only the primary acts on it, and calls `drain` or `retire`.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2"] as const)
    process.on(signal, () => undefined);
  void primary.started(await start(await primary.options()));

  /** @param drained undefined if this worker is still starting: it has no request. */
  function endAfter(drained: Promise<void> = Promise.resolve()): void {
    // Of a `retire` and a later `drain` with a limit, the first that is done ends the process.
    void drained.then(() => (ending ??= end()));
  }

  async function end(): Promise<void> {
    try {
      await primary.drained(await report());
    } finally {
      await output.flush(LOG_PATIENCE_MS);
      process.disconnect(); // ends the process
    }
  }

  async function start({ config: input, instance, descriptor }: WorkerOptions): Promise<WorkerStart> {
    try {
      const config = parseConfig(input);
      upstream = createUpstream(config.upstream);
      const uploads = reportUploads(primary, inFlight, createUploadsRegistry(0));
      const observers = { metrics, log: createLog(config.log.level, output), uploads };
      const quotas = leaseQuotas(primary, config);
      clients = serveClients({ config, upstream, observers, quotas, replays: replaysOf(primary), instance });
      return await clients.listen(descriptor);
    } catch (error) {
      return { fault: (error as Error).message };
    }
  }

  async function report(): Promise<WorkerReport> {
    return {
      metrics: await metrics.registry.getMetricsAsJSON(),
      connections: clients?.connections() ?? 0,
      totals: metrics.totals,
      inFlight: inFlight.views(),
      idleMs: performance.now() - (upstream?.activity.lastAt() ?? -Infinity),
    };
  }
}

function connectToPrimary(calls: WorkerCalls): Primary {
  return createBirpc<PrimaryCalls, WorkerCalls>(calls, {
    // If the primary has exited, the message is lost, and the closed channel ends this process.
    post: (message) => process.send?.(message, undefined, undefined, () => undefined),
    on: (listener) => process.on("message", listener),
    eventNames: ["started", "take", "release", "uploadStarted", "uploadFinished"],
    timeout: -1,
  });
}

/** Reports each upload to the primary, which keeps the finished uploads and settles the uploads of a worker that dies. */
function reportUploads(
  primary: Primary,
  inFlight: NumberedUploads,
  registry: UploadsRegistry,
): UploadsRegistry {
  return {
    ...registry,
    hasRival: (imageId, ageSeconds) => primary.hasRival(imageId, ageSeconds),
    add(upload) {
      registry.add(upload);
      inFlight.add(upload);
      void primary.uploadStarted(...inFlight.view(upload));
    },
    finish(upload) {
      void primary.uploadFinished(...inFlight.view(upload));
      inFlight.delete(upload);
      registry.finish(upload);
    },
  };
}

/** The uploads in flight. The primary knows them by their numbers. */
class NumberedUploads {
  readonly #uploads = new Members<Viewed>();
  readonly #numbers = new WeakMap<Viewed, number>();
  #last = 0;

  add(upload: Viewed): void {
    this.#uploads.add(upload);
    this.#numbers.set(upload, (this.#last += 1));
  }

  delete(upload: Viewed): void {
    this.#uploads.delete(upload);
  }

  view(upload: Viewed): NumberedUpload {
    return [this.#numbers.get(upload) ?? 0, upload.view()];
  }

  views(): NumberedUpload[] {
    return [...this.#uploads].map((upload) => this.view(upload));
  }
}

function replaysOf(primary: Primary): ReplayMemory {
  return {
    remember: ({ replayKey }, body) => primary.rememberReplay(replayKey, body),
    recall: ({ replayKey }) => primary.recallReplay(replayKey),
    forget: ({ replayKey }) => primary.forgetReplay(replayKey),
  };
}

function leaseQuotas(primary: Primary, { limits, spool }: Config): Quotas {
  const lease = (what: keyof Quotas, max: number, block: number) =>
    createLeasedQuota(max, block, {
      reserve: (amount) => primary.reserve(what, amount),
      take: (amount) => void primary.take(what, amount),
      release: (amount) => void primary.release(what, amount),
    });
  return {
    uploads: lease("uploads", limits.maxConcurrentUploads, 0),
    // Limits what idle workers keep reserved to a small part of the spool.
    spool: lease(
      "spool",
      spool.maxTotalBytes,
      spool.maxTotalBytes === 0
        ? SPOOL_BLOCK_BYTES
        : Math.min(SPOOL_BLOCK_BYTES, Math.floor(spool.maxTotalBytes / 1024)),
    ),
  };
}
