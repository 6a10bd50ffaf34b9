/** A worker process: it serves clients, and reports to its primary, which serves operators. */
import process from "node:process";
import { createBirpc, type BirpcReturn } from "birpc";
import type { ClientServer } from "../client/server.js";
import { parseConfig } from "../config/load.js";
import type { Config } from "../config/schema.js";
import { createLog } from "../observe/log.js";
import { createLogOutput } from "../observe/log-output.js";
import { createMetrics } from "../observe/metrics.js";
import type { Observers } from "../observe/observers.js";
import { createUploadsRegistry, type UploadsRegistry, type UploadView } from "../observe/uploads-registry.js";
import type { Quotas } from "../upload/quotas.js";
import type { ReplayMemory } from "../upload/replay-memory.js";
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

/** Bytes of the spool asked for at once, if it is large enough. */
const SPOOL_BLOCK_BYTES = 1024 * 1024;

/** The primary reads this process's standard output as long as it runs. One that hangs is not waited for, milliseconds. */
const LOG_PATIENCE_MS = 1_000;

export interface ServeOptions {
  readonly config: Config;
  readonly upstream: Upstream;
  readonly observers: Observers;
  readonly quotas: Quotas;
  readonly replays: ReplayMemory;
  readonly instance: string;
}

type Primary = BirpcReturn<PrimaryCalls, WorkerCalls>;

interface Viewed {
  view(): UploadView;
}

/** @param serveClients the way of a request, which lies above this folder. Resolves when the worker listens, or cannot. */
export async function runWorker(
  serveClients: (options: ServeOptions) => Omit<ClientServer, "credentials">,
): Promise<void> {
  const metrics = createMetrics();
  const output = createLogOutput();
  metrics.watchLog(output);
  const inFlight = new Map<Viewed, number>();
  let clients: ReturnType<typeof serveClients> | undefined;
  let upstream: Upstream | undefined;

  const primary = connectToPrimary({
    report,
    reload: () => clients?.reload(),
    drain(timeoutMs) {
      const drained = clients?.drain(timeoutMs) ?? Promise.resolve(); // one that is only starting carries nothing
      void drained
        .then(async () => primary.drained(await report()))
        .finally(async () => {
          await output.flush(LOG_PATIENCE_MS);
          process.disconnect(); // which ends a worker
        });
    },
  });
  // The primary is told to end, and tells us. On a terminal, or from a service manager, the signal comes to all.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);
  void primary.started(await start(await primary.options()));

  async function start({ config: input, instance }: WorkerOptions): Promise<WorkerStart> {
    try {
      const config = parseConfig(input);
      upstream = createUpstream(config.upstream);
      const uploads = reportUploads(primary, inFlight, createUploadsRegistry(0));
      const observers = { metrics, log: createLog(config.log.level, output), uploads };
      const quotas = leaseQuotas(primary, config);
      clients = serveClients({ config, upstream, observers, quotas, replays: replaysOf(primary), instance });
      return await clients.listen();
    } catch (error) {
      return { fault: (error as Error).message };
    }
  }

  async function report(): Promise<WorkerReport> {
    return {
      metrics: await metrics.registry.getMetricsAsJSON(),
      totals: metrics.totals,
      inFlight: [...inFlight].map(([upload, number]) => [number, upload.view()]),
      idleMs: performance.now() - (upstream?.lastActivity() ?? -Infinity),
    };
  }
}

function connectToPrimary(calls: WorkerCalls): Primary {
  return createBirpc<PrimaryCalls, WorkerCalls>(calls, {
    // A primary that is gone cannot be told, and takes this process with it.
    post: (message) => process.send?.(message, undefined, undefined, () => undefined),
    on: (listener) => process.on("message", listener),
    eventNames: ["started", "release", "uploadStarted", "uploadFinished"],
    timeout: -1,
  });
}

/** The primary has to know of each upload: it remembers those that end, and answers for those of a worker that dies. */
function reportUploads(
  primary: Primary,
  inFlight: Map<Viewed, number>,
  registry: UploadsRegistry,
): UploadsRegistry {
  let last = 0;
  const numbered = (upload: Viewed): NumberedUpload => [inFlight.get(upload) ?? 0, upload.view()];
  return {
    ...registry,
    hasRival: (imageId, ageSeconds) => primary.hasRival(imageId, ageSeconds),
    add(upload) {
      registry.add(upload);
      inFlight.set(upload, (last += 1));
      void primary.uploadStarted(...numbered(upload));
    },
    finish(upload) {
      void primary.uploadFinished(...numbered(upload));
      inFlight.delete(upload);
      registry.finish(upload);
    },
  };
}

function replaysOf(primary: Primary): ReplayMemory {
  return {
    remember: (key, body) => primary.rememberReplay(key, body),
    recall: (key) => primary.recallReplay(key),
    forget: (key) => primary.forgetReplay(key),
  };
}

function leaseQuotas(primary: Primary, { limits, spool }: Config): Quotas {
  const lease = (what: keyof Quotas, max: number, block: number) =>
    createLeasedQuota(max, block, {
      reserve: (amount) => primary.reserve(what, amount),
      release: (amount) => void primary.release(what, amount),
    });
  return {
    uploads: lease("uploads", limits.maxConcurrentUploads, 0),
    // What lies unused in blocks is little of the whole.
    spool: lease("spool", spool.maxTotal, Math.min(SPOOL_BLOCK_BYTES, Math.floor(spool.maxTotal / 1024))),
  };
}
