/** A worker process: the side that clients see. What operators see is its primary's, which it reports to. */
import process from "node:process";
import { createBirpc } from "birpc";
import { createClientSide, type ClientSide } from "../client/server.js";
import { parseConfig } from "../config/load.js";
import type { Config } from "../config/schema.js";
import { createLog } from "../observe/log.js";
import { createLogOutput } from "../observe/log-output.js";
import { createMetrics } from "../observe/metrics.js";
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

/** Bytes of the spool asked for at once, where it is large enough. */
const SPOOL_BLOCK_BYTES = 1024 * 1024;

/** The primary reads this process's standard output as long as it runs. One that hangs is not waited for, milliseconds. */
const LOG_PATIENCE_MS = 1_000;

interface Viewed {
  view(): UploadView;
}

const metrics = createMetrics();
const output = createLogOutput();
metrics.watchLog(output);
const inFlight = new Map<Viewed, number>();
let clients: ClientSide | undefined;
let upstream: Upstream | undefined;

const calls: WorkerCalls = {
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
};

const primary = createBirpc<PrimaryCalls, WorkerCalls>(calls, {
  // A primary that is gone cannot be told, and takes this process with it.
  post: (message) => process.send?.(message, undefined, undefined, () => undefined),
  on: (listener) => process.on("message", listener),
  eventNames: ["started", "release", "uploadStarted", "uploadFinished"],
  timeout: -1,
});

const uploads = reportUploads(createUploadsRegistry(0));

async function start({ config: input, instance }: WorkerOptions): Promise<WorkerStart> {
  try {
    const config = parseConfig(input);
    upstream = createUpstream(config.upstream);
    const observers = { metrics, log: createLog(config.log.level, output), uploads };
    const quotas = leaseQuotas(config);
    clients = createClientSide({ config, upstream, observers, quotas, replays, instance });
    return await clients.listen();
  } catch (error) {
    return { fault: (error as Error).message };
  }
}

async function report(): Promise<WorkerReport> {
  return {
    metrics: await metrics.registry.getMetricsAsJSON(),
    inFlight: [...inFlight].map(([upload, number]) => [number, upload.view()]),
    idleMs: performance.now() - (upstream?.lastActivity() ?? -Infinity),
  };
}

/** The primary has to know of each upload: it remembers those that end, and answers for those of a worker that dies. */
function reportUploads(registry: UploadsRegistry): UploadsRegistry {
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

const replays: ReplayMemory = {
  remember: (key, body) => primary.rememberReplay(key, body),
  recall: (key) => primary.recallReplay(key),
  forget: (key) => primary.forgetReplay(key),
};

function leaseQuotas({ limits, spool }: Config): Quotas {
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

// The primary is told to end, and tells us. On a terminal, or from a service manager, the signal comes to all.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);

void primary.started(await start(await primary.options()));
