/** Handles one upload: admit, forward, settle. */
import type { Answerer } from "../client/answer.js";
import type { Exchange } from "../client/exchange.js";
import type { Config } from "../config/config.js";
import type { HeaderLine } from "../http/request-head.js";
import { traceparentOf } from "../http/request-id.js";
import type { Observers } from "../observe/observers.js";
import { traceUpload } from "../observe/tracing.js";
import type { ClaimBody } from "../raw-io/claim-body.js";
import { lookUpImage } from "../upstream/look-up.js";
import type { Upstream } from "../upstream/upstream.js";
import { ProxyError, toProxyError } from "../vocabulary/errors.js";
import type { Operation } from "../vocabulary/labels.js";
import { createAdmission } from "./admit.js";
import type { DeclaredSize } from "./declared-size.js";
import { type BodyDigests, readDigests } from "./digests.js";
import { createForward } from "./forward.js";
import { Observation } from "./observation.js";
import { createQuotaCheck, type QuotaCheck } from "./quota-check.js";
import type { RelayEnd } from "./relay-plan.js";
import type { ReplayMemory } from "./replay-memory.js";
import { createRollback, type LookUp } from "./rollback.js";
import { createSettle } from "./settle.js";
import type { Quota } from "./spool/quota.js";
import type { Spool } from "./spool/spool.js";
import type { UnknownSizeRules } from "./unknown-size.js";
import { Upload } from "./upload.js";

export interface UploadTarget {
  readonly operation: Operation;
  readonly imageId: string;
  /** What to send to Glance. */
  readonly path: string;
}

export interface UploadHandlerOptions {
  readonly config: Config;
  readonly upstream: Upstream;
  readonly answerer: Answerer;
  /** `limits.maxConcurrentUploads` */
  readonly slots: Quota;
  readonly createSpool: () => Spool;
  readonly claimBody: ClaimBody | undefined;
  readonly sizeRules: UnknownSizeRules;
  readonly replays: ReplayMemory;
  readonly observers: Observers;
}

export type UploadHandler = (exchange: Exchange, target: UploadTarget) => Promise<void>;

export function createUploadHandler(options: UploadHandlerOptions): UploadHandler {
  const { config, upstream, observers } = options;
  const replays = config.replay.guard ? options.replays : undefined;
  const admission = createAdmission({ ...options, replays });
  const forward = createForward(options);
  const checkQuota =
    config.quota.precheck === "auto" ? createQuotaCheck(upstream, config.quota.timeoutMs) : undefined;
  const settle = createSettle({ ...options, replays });
  if (!config.enforce)
    observers.log.warn({}, "enforce is false: uploads of any size are passed on as they come");

  return async (exchange, target) => {
    // Middleware before the proxy may have started the body. No byte may pass before it is counted.
    exchange.request.pause();
    const upload = openRecord(exchange, target, options);
    let current = exchange;
    try {
      const declared = admission.declare(exchange, upload);
      current = admission.claim(exchange, declared);
      await carry(current, target, upload, declared);
    } catch (cause) {
      await settle.refuse(current, upload, toProxyError(cause));
    } finally {
      upload.trace?.end(upload.view());
    }
  };

  async function carry(
    exchange: Exchange,
    target: UploadTarget,
    upload: Upload,
    declared: DeclaredSize,
  ): Promise<void> {
    const digests = digestsOf(exchange, upload);
    const admitted = await admission.enter(upload, declared);
    upload.trace?.leave();
    try {
      const headers = exchange.upstreamHeaders();
      if (checkQuota) await guardQuota(checkQuota, target, upload, headers);
      const lookUp = createLookUp(upstream, upload, target.imageId, headers);
      const rollback = createRollback(target, lookUp, config.rollback);
      const { path } = target;
      const end = await forward({ exchange, upload, admitted, digests, path, headers, lookUp, rollback });
      upload.trace?.leave(resultOf(end));
      await settle.end({ exchange, upload, lookUp, rollback }, end);
    } finally {
      admission.leave();
    }
  }
}

function openRecord(
  exchange: Exchange,
  { imageId, operation }: UploadTarget,
  { config, observers }: UploadHandlerOptions,
): Upload {
  const { requestId, clientRequestId, announced, peer, head } = exchange;
  const upload = new Upload(
    {
      requestId,
      imageId,
      operation,
      framingIn: announced.kind === "chunked" ? "chunked" : "content-length",
      peer: peer.address,
      userAgent: head.values("user-agent")[0],
      clientRequestId,
      traceparent: traceparentOf(head),
    },
    observers,
    config.enforce ? undefined : new Observation(config),
  );
  upload.trace = traceUpload(exchange, operation);
  return upload;
}

/** @throws ProxyError if an upload of declared size does not fit. With `enforce: false`, this is noted. */
async function guardQuota(
  check: QuotaCheck,
  target: UploadTarget,
  { declaredBytes, observation }: Upload,
  headers: readonly HeaderLine[],
): Promise<void> {
  if (declaredBytes === undefined) return;
  try {
    await check(target, declaredBytes, headers);
  } catch (cause) {
    if (observation === undefined || !(cause instanceof ProxyError)) throw cause;
    observation.note(cause);
  }
}

/** @throws ProxyError if a digest in the head is malformed. With `enforce: false`, this is noted, and no digest is checked. */
function digestsOf({ head, announced }: Exchange, { observation }: Upload): BodyDigests | undefined {
  const read = (): BodyDigests | undefined => readDigests(head, announced);
  return observation ? observation.check(read) : read();
}

/** Looks at the image of an upload, and notes its owner. */
function createLookUp(
  upstream: Upstream,
  upload: Upload,
  imageId: string,
  headers: readonly HeaderLine[],
): LookUp {
  return async (timeoutMs) => {
    const seen = await lookUpImage(upstream, imageId, upload.traced(headers), timeoutMs);
    if (seen.kind === "found") upload.owner = seen.owner;
    return seen;
  };
}

/** Attributes of the request to Glance, named by the conventions of OpenTelemetry. */
function resultOf(end: RelayEnd): Record<string, string | number | undefined> {
  if (end.kind === "failed") return { "error.type": end.error.code };
  const status = end.answer.statusCode ?? 0;
  return {
    "http.response.status_code": status,
    "error.type": status < 400 ? undefined : String(status),
  };
}
