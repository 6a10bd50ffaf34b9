/**
 * What the rules about sizes would have made of an upload, with `enforce: false`. It refuses nothing: it notes the first rule that the
 * upload breaks.
 */
import type { Config } from "../config/config.js";
import {
  describeError,
  type ProxyError,
  sizeExceeded,
  sizeMismatch,
  tooLarge,
  toProxyError,
} from "../vocabulary/errors.js";
import type { UnknownSizePolicy } from "../vocabulary/labels.js";
import type { Outcome, Verdict } from "../vocabulary/outcomes.js";

interface Observed {
  /** Absent if the client declared a size. */
  readonly sizePolicy: UnknownSizePolicy | undefined;
  readonly declaredBytes: number | undefined;
  readonly receivedBytes: number;
}

export class Observation {
  readonly #config: Config;
  #broken: { readonly verdict: Verdict; readonly error: ProxyError } | undefined;

  constructor(config: Config) {
    this.#config = config;
  }

  /**
   * Runs a check of the enforcement, and notes its refusal.
   *
   * @param verdict Default: the outcome of the refusal.
   * @returns what the check returns; undefined if it refuses.
   */
  check<Result>(act: () => Result, verdict?: Verdict): Result | undefined {
    try {
      return act();
    } catch (cause) {
      const error = toProxyError(cause);
      if (error.code === "internal") throw cause;
      this.note(error, verdict);
      return undefined;
    }
  }

  note(error: ProxyError, verdict: Verdict = error.outcome): void {
    this.#broken ??= { verdict, error };
  }

  /** Compares the bytes received so far with the limits. @param hasEnded the client's body has ended. */
  measure({ sizePolicy, declaredBytes, receivedBytes }: Observed, hasEnded: boolean): void {
    const maxBytes = this.#maxBytes(sizePolicy);
    if (declaredBytes !== undefined && receivedBytes > declaredBytes) {
      this.note(sizeExceeded(declaredBytes, receivedBytes));
    } else if (receivedBytes > maxBytes) {
      this.note(tooLarge(receivedBytes, maxBytes));
    } else if (hasEnded && declaredBytes !== undefined && receivedBytes < declaredBytes) {
      this.note(sizeMismatch(declaredBytes, receivedBytes));
    }
  }

  /** @param outcome how the upload ended. @returns the outcome that it would have had. */
  verdict(outcome: Outcome): Verdict {
    return this.#broken?.verdict ?? outcome;
  }

  /** The refusal that did not happen. Undefined if the upload breaks no rule. */
  get error(): ProxyError | undefined {
    return this.#broken?.error;
  }

  /** Undefined if the upload breaks no rule. */
  get reason(): string | undefined {
    if (this.error === undefined) return undefined;
    const { reason, cause } = describeError(this.error);
    return cause === undefined ? reason : `${reason} (${cause})`;
  }

  #maxBytes(policy: UnknownSizePolicy | undefined): number {
    const { limits, spool } = this.#config;
    const isRefused = policy === "spool" && spool.onFull === "reject";
    return Math.min(
      ...[limits.maxImageSizeBytes, isRefused ? spool.maxPerUploadBytes : 0].map((bytes) =>
        bytes === 0 ? Number.POSITIVE_INFINITY : bytes,
      ),
    );
  }
}
