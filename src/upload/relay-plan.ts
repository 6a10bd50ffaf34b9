/** What is decided before an upload is sent, and how sending it ended. */
import type { ClientRequest, IncomingMessage } from "node:http";
import type { Body, BodyHasher, ByteCounter, Framing } from "../http/body.js";
import type { Patience } from "../http/turns.js";
import type { Waits } from "../http/waits.js";
import type { ProxyError } from "../vocabulary/errors.js";
import type { Begun, UntilBegun } from "./break-off.js";

/** Decided before anything is sent. */
export interface RelayPlan extends Patience {
  /** Framing of the request to Glance. */
  readonly framing: Framing;
  /** Size of the body; absent if unknown. */
  readonly declaredBytes?: number | undefined;
  /** Maximum bytes accepted if the size is unknown. */
  readonly maxBytes: number;
  /** Called when the body has ended. @returns the reason why it must not become an image. */
  readonly refuseEnd?: (() => ProxyError | undefined) | undefined;
  /** Whether the client waits for `100 Continue`. */
  readonly clientWaits: boolean;
}

export interface RelayOptions {
  readonly source: Body;
  readonly plan: RelayPlan;
  readonly counter: ByteCounter;
  /** Gets each piece of `source` once. Absent if the client sent no digest. */
  readonly digests?: BodyHasher | undefined;
  readonly waits: Waits;
  /** Start of the body, already counted; `source` has the rest. Each piece is valid until the next one is requested. */
  readonly kept?: AsyncIterable<Buffer> | undefined;
  /**
   * Opens the request to Glance, with all its headers.
   * @param expectContinue whether to send `Expect: 100-continue`.
   */
  readonly open: (expectContinue: boolean) => ClientRequest;
  /** Called when the client may send its body. */
  readonly onContinue: () => void;
  readonly untilBegun: UntilBegun;
}

export type RelayEnd =
  /** Glance answered after the whole body, or refused it before its end (`early`). */
  | {
      readonly kind: "answered";
      readonly answer: IncomingMessage;
      readonly early: boolean;
      /** Seconds between the last byte of the body and the answer. Undefined if the answer was early. */
      readonly lastByteToAnswer: number | undefined;
    }
  /** The proxy or Glance ended the request. `whole`: the kernel had accepted the whole body. */
  | { readonly kind: "failed"; readonly error: ProxyError; readonly begun: Begun; readonly whole: boolean };
