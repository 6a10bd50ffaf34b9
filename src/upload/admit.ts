/** Decides whether an upload may start: declared size, limits, concurrent uploads. Nothing is read or sent before that. */
import type { Exchange } from "../client/exchange.js";
import type { Config } from "../config/config.js";
import { guardUpload } from "../http/request-guard.js";
import { type ClaimBody, leastRawBytes } from "../raw-io/claim-body.js";
import { ProxyError, tooLarge } from "../vocabulary/errors.js";
import { SIZE_HEADER } from "../vocabulary/size-header.js";
import { type DeclaredSize, readDeclaredSizes, requireAgreement, sizeByFraming } from "./declared-size.js";
import { refuseReplay, type ReplayMemory } from "./replay-memory.js";
import type { Quota } from "./spool/quota.js";
import type { UnknownSizeDecision, UnknownSizeRules } from "./unknown-size.js";
import type { Upload } from "./upload.js";

/** `Retry-After` of an upload that was refused because too many are in progress. */
const RETRY_AFTER_SECONDS = 10;

export interface AdmissionOptions {
  readonly config: Config;
  /** `limits.maxConcurrentUploads` */
  readonly slots: Quota;
  readonly claimBody: ClaimBody | undefined;
  readonly sizeRules: UnknownSizeRules;
  /** Absent if `replay.guard` is false. */
  readonly replays: ReplayMemory | undefined;
}

export interface Admitted {
  /** The size that is enforced. With `enforce: false` that is the size of the body's framing. */
  readonly declared: DeclaredSize;
  /** @returns the reason why a body of that many bytes must not become an image. */
  readonly refuseEnd: ((bytes: number) => ProxyError | undefined) | undefined;
}

export interface Admission {
  /** @returns the size that is enforced. @throws ProxyError if the upload must not start. */
  declare(exchange: Exchange, upload: Upload): DeclaredSize;
  /** Takes the body over from Node if that saves CPU. Call it in the turn of the request: later, Node's parser has the body. */
  claim(exchange: Exchange, declared: DeclaredSize): Exchange;
  /** Reserves one of `limits.maxConcurrentUploads`; `leave` releases it. @throws ProxyError `busy`. */
  enter(upload: Upload, declared: DeclaredSize): Promise<Admitted>;
  leave(): void;
}

export function createAdmission(options: AdmissionOptions): Admission {
  return new UploadAdmission(options);
}

class UploadAdmission implements Admission {
  readonly #options: AdmissionOptions;
  readonly #leastClaimedBytes: number;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#leastClaimedBytes = leastRawBytes(options.config.upload.relay);
  }

  declare(exchange: Exchange, upload: Upload): DeclaredSize {
    const { observation } = upload;
    if (observation === undefined) return this.#declare(exchange, upload);
    observation.check(() => guardUpload(exchange.head), "content_range");
    observation.check(() => this.#declare(exchange, upload));
    return sizeByFraming(exchange.announced);
  }

  #declare(exchange: Exchange, upload: Upload): DeclaredSize {
    const sizes = readDeclaredSizes(exchange.head, exchange.announced, this.#options.config.size.hints);
    const declared = sizes[0] ?? { source: "unknown", decision: this.#decide(exchange, upload) };
    upload.declare(declared);
    requireAgreement(sizes);
    this.#checkLimits(declared);
    return declared;
  }

  #decide({ head }: Exchange, { client, origin }: Upload): UnknownSizeDecision {
    const { sizeRules } = this.#options;
    return sizeRules.decide({ client, operation: origin.operation, stores: sizeRules.storesOf(head) });
  }

  claim(exchange: Exchange, declared: DeclaredSize): Exchange {
    const purpose = this.#claimPurpose(declared);
    const body = purpose && this.#options.claimBody?.(exchange, purpose);
    return body ? exchange.withBody(body) : exchange;
  }

  async enter(upload: Upload, declared: DeclaredSize): Promise<Admitted> {
    const refuseReplayed = await this.#guardReplay(upload);
    const refuseEnd = upload.observation ? noteEnd(upload, refuseReplayed) : refuseReplayed;
    if (!(await this.#options.slots.reserve(1))) {
      throw new ProxyError("busy", "Too many uploads are in progress. Retry later.", {
        headers: { "retry-after": String(RETRY_AFTER_SECONDS) },
      });
    }
    return { declared, refuseEnd };
  }

  leave(): void {
    this.#options.slots.release(1);
  }

  /** A client that sends the header knows the size, so its upload is no replay. */
  async #guardReplay(upload: Upload): Promise<Admitted["refuseEnd"]> {
    const { replays } = this.#options;
    const { source, declaredBytes, observation } = upload;
    if (replays === undefined || source === "header") return undefined;
    const recalled = replays.recall(upload);
    const failed = recalled instanceof Promise ? await recalled : recalled;
    if (failed === undefined) return undefined;
    const refusal = declaredBytes === undefined ? undefined : refuseReplay(failed, declaredBytes);
    if (refusal && observation === undefined) throw refusal;
    if (refusal) observation?.note(refusal);
    return (bytes) => refuseReplay(failed, bytes);
  }

  /** Bodies of unknown size are usually snapshots and volumes, which are large. */
  #claimPurpose(declared: DeclaredSize): "keep" | "send" | undefined {
    if (declared.source === "unknown" && declared.decision.policy === "spool") return "keep";
    const { bytes = Number.POSITIVE_INFINITY } = declared;
    return bytes >= this.#leastClaimedBytes ? "send" : undefined;
  }

  #checkLimits(declared: DeclaredSize): void {
    const { limits } = this.#options.config;
    if (limits.maxImageSizeBytes > 0 && (declared.bytes ?? 0) > limits.maxImageSizeBytes) {
      throw tooLarge(declared.bytes ?? 0, limits.maxImageSizeBytes);
    }
    if (declared.source === "unknown" && declared.decision.policy === "reject") {
      throw new ProxyError(
        "length_required",
        `The size of the image is required. Send it in ${SIZE_HEADER} or Content-Length.`,
      );
    }
  }
}

/** With `enforce: false`: notes what is wrong with the whole body, and refuses nothing. */
function noteEnd(upload: Upload, refuse: Admitted["refuseEnd"]): Admitted["refuseEnd"] {
  return (bytes) => {
    const refusal = refuse?.(bytes);
    if (refusal) upload.observation?.note(refusal);
    upload.observation?.measure(upload, true);
    return undefined;
  };
}
