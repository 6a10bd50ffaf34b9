/** Forwards a body to Glance. If its size is unknown and the policy for it is `spool`, it is spooled first. */
import type { Exchange } from "../client/exchange.js";
import type { Config } from "../config/config.js";
import type { Framing } from "../http/body.js";
import type { HeaderLine } from "../http/request-head.js";
import type { Observers } from "../observe/observers.js";
import { LOOK_UP_TIMEOUT_MS } from "../upstream/look-up.js";
import type { Upstream } from "../upstream/upstream.js";
import { ProxyError } from "../vocabulary/errors.js";
import type { SpoolBound } from "../vocabulary/labels.js";
import { SIZE_HEADER } from "../vocabulary/size-header.js";
import type { Admitted } from "./admit.js";
import type { BodyDigests } from "./digests.js";
import { relayBody } from "./relay.js";
import type { RelayEnd } from "./relay-plan.js";
import type { LookUp, Rollback } from "./rollback.js";
import { keepBody } from "./spool/keep-body.js";
import type { Spool } from "./spool/spool.js";
import type { Upload } from "./upload.js";

export interface ForwardOptions {
  readonly config: Config;
  readonly upstream: Upstream;
  readonly createSpool: () => Spool;
  readonly observers: Observers;
}

export interface Forwarded {
  readonly exchange: Exchange;
  readonly upload: Upload;
  readonly admitted: Admitted;
  /** Absent if the client sent no digest. */
  readonly digests: BodyDigests | undefined;
  /** What to send to Glance. */
  readonly path: string;
  readonly headers: readonly HeaderLine[];
  readonly lookUp: LookUp;
  readonly rollback: Rollback;
}

/** @throws ProxyError if the upload ends before Glance hears of it. */
export type Forward = (forwarded: Forwarded) => Promise<RelayEnd>;

export function createForward(options: ForwardOptions): Forward {
  const forwarding = new Forwarding(options);
  return (forwarded) => forwarding.run(forwarded);
}

class Forwarding {
  readonly #config: Config;
  readonly #upstream: Upstream;
  readonly #createSpool: () => Spool;
  readonly #observers: Observers;
  readonly #maxBytes: number;

  constructor({ config, upstream, createSpool, observers }: ForwardOptions) {
    this.#config = config;
    this.#upstream = upstream;
    this.#createSpool = createSpool;
    this.#observers = observers;
    const { maxImageSizeBytes } = config.limits;
    this.#maxBytes =
      maxImageSizeBytes === 0 || !config.enforce ? Number.POSITIVE_INFINITY : maxImageSizeBytes;
  }

  async run(forwarded: Forwarded): Promise<RelayEnd> {
    const spool = await this.#spoolFor(forwarded);
    try {
      const kept = spool && (await this.#keep(forwarded, spool));
      return await this.#relay(forwarded, kept);
    } finally {
      await spool?.close();
    }
  }

  /** Spools only if the image is `queued`. Otherwise Glance would refuse the upload, so it goes to Glance at once, which answers. */
  async #spoolFor({ upload, admitted: { declared }, lookUp }: Forwarded): Promise<Spool | undefined> {
    if (declared.source !== "unknown" || declared.decision.policy !== "spool") return undefined;
    upload.waits.switchTo("glance");
    const seen = await lookUp(LOOK_UP_TIMEOUT_MS);
    upload.waits.switchTo(undefined);
    return seen.kind === "found" && seen.status === "queued" ? this.#createSpool() : undefined;
  }

  /** @returns the spooled data, which is sent before the rest of the body. @throws ProxyError if the upload ends here. */
  async #keep(forwarded: Forwarded, spool: Spool): Promise<AsyncIterable<Buffer>> {
    const { exchange, upload, digests } = forwarded;
    upload.trace?.enter("spool");
    exchange.sendContinue();
    const idleMs = this.#config.limits.idleTimeoutMs;
    const kept = await keepBody({
      source: exchange.body,
      spool,
      counter: upload,
      digests,
      waits: upload.waits,
      maxBytes: this.#maxBytes,
      idleMs,
    });
    switch (kept.kind) {
      case "failed":
        throw kept.error;
      case "whole": {
        const refusal = refuseEnd(forwarded);
        if (refusal) throw refusal;
        upload.spooled();
        return spool.read();
      }
      case "full":
        this.#observers.metrics.spoolFull(kept.why.full);
        if (kept.why.full === "disk") this.#warnOfDisk(upload, kept.why.cause);
        if (this.#config.spool.onFull === "reject") throw spoolFull(kept.why.full, upload.receivedBytes);
        return concatenate(spool.read(), kept.next);
    }
  }

  /** The metric does not say whether the disk is full, read-only, missing or broken. The log does. */
  #warnOfDisk(upload: Upload, cause: unknown): void {
    const { requestId, imageId } = upload.origin;
    this.#observers.log.warn(
      { requestId, imageId, reason: (cause as Error).message },
      "cannot write to spool.dir",
    );
  }

  #relay(forwarded: Forwarded, kept: AsyncIterable<Buffer> | undefined): Promise<RelayEnd> {
    const { exchange, upload, admitted, digests, path, headers, rollback } = forwarded;
    const { enforce: replaceSize, size } = this.#config;
    const declaredBytes = upload.source === "spooled" ? upload.receivedBytes : admitted.declared.bytes;
    const framing = declaredBytes !== undefined && size.reframe ? "content-length" : upload.origin.framingIn;
    upload.framingOut = framing;
    upload.trace?.enter("relay", this.#config.upstream.url);
    return relayBody({
      source: exchange.body,
      counter: upload,
      digests,
      waits: upload.waits,
      kept,
      plan: {
        framing,
        declaredBytes,
        maxBytes: this.#maxBytes,
        refuseEnd: () => refuseEnd(forwarded),
        clientWaits: exchange.awaitsContinue,
        idleMs: this.#config.limits.idleTimeoutMs,
        silenceMs: this.#config.upstream.responseTimeoutMs,
      },
      open: (expectContinue) =>
        this.#upstream.request(
          "PUT",
          path,
          uploadHeaders(upload.traced(headers), { declaredBytes, framing, replaceSize, expectContinue }),
        ),
      onContinue: () => exchange.sendContinue(),
      untilBegun: (over, said100) =>
        this.#config.rollback.verify ? rollback.untilBegun(over, said100) : Promise.resolve(false),
    });
  }
}

/** @returns the reason why a body that has ended must not become an image. With `enforce: false`, the reason is noted. */
function refuseEnd({ exchange, upload, admitted, digests }: Forwarded): ProxyError | undefined {
  const refusal = admitted.refuseEnd?.(upload.receivedBytes) ?? digests?.refuse(exchange.body.rawTrailers);
  if (refusal === undefined || upload.observation === undefined) return refusal;
  upload.observation.note(refusal);
  return undefined;
}

async function* concatenate(first: AsyncIterable<Buffer>, then: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* first;
  yield* then;
}

function spoolFull(why: SpoolBound, bytes: number): ProxyError {
  return why === "per_upload"
    ? new ProxyError(
        "too_large",
        `The image is too large to buffer without a declared size (${bytes} bytes received). Send its size in ${SIZE_HEADER} or ` +
          "Content-Length.",
      )
    : new ProxyError(
        "spool_full",
        "The proxy has no buffer space left for an upload without a declared size. Declare the size, or retry later.",
      );
}

interface UploadHead {
  readonly declaredBytes: number | undefined;
  readonly framing: Framing;
  /** Whether the proxy declares the size itself. Otherwise the client's own header goes on. */
  readonly replaceSize: boolean;
  readonly expectContinue: boolean;
}

/** Removes the client's size and framing headers before it adds the proxy's. */
function uploadHeaders(
  headers: readonly HeaderLine[],
  { declaredBytes, framing, replaceSize, expectContinue }: UploadHead,
): HeaderLine[] {
  const lines = headers.filter(
    ({ name }) => name !== "content-length" && !(replaceSize && name === SIZE_HEADER),
  );
  const say = (name: string, value: string): void => void lines.push({ name, value });
  if (replaceSize && declaredBytes !== undefined) say(SIZE_HEADER, String(declaredBytes));
  if (framing === "content-length") say("content-length", String(declaredBytes));
  else say("transfer-encoding", "chunked");
  if (expectContinue) say("expect", "100-continue");
  return lines;
}
