/** What the tests ask of a store, whatever it is. */
import type { GlanceServer, GlanceStore } from "../support/real-glance.js";
import type { CountedRequest } from "../support/request-counter.js";

export interface Upload {
  readonly isDeclared: boolean;
  readonly server: GlanceServer;
}

export interface TestedStore {
  readonly glance: GlanceStore;
  /** What Glance has asked of the store so far, if it asks over HTTP. */
  readonly requests: readonly CountedRequest[];
  /** In words: what an upload took. @param log what Glance logged meanwhile. */
  operations(requests: readonly CountedRequest[], log: string): string;
  /** In words: what lies in the store. */
  left(): Promise<string>;
  /** What lies there when an upload of unknown or declared size is cut after {@link CUT_AT} bytes. */
  atCut(upload: Upload): string;
  /** What stays there after such a cut, or after a body of a wrong size. */
  afterCut(upload: Upload): string;
  /** Removes what stays there. */
  clear(): Promise<void>;
  stop(): Promise<void>;
}

export const MIB = 2 ** 20;
export const NOTHING = "nothing";
/** The stores have parts of 8 MiB. Glance has sent two, and has begun the third. Its S3 store reads 5 MiB at once. */
export const IMAGE_BYTES = 20 * MIB + 7;
export const CUT_AT = 20 * MIB + 3;

/** Such as `2 parts`, `1 part`. */
export const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? "" : "s"}`;
