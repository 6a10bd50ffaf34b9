/** What was decided about an upload before any of it is sent, and how it ended. */
import type { IncomingMessage } from "node:http";
import type { Framing } from "../http/body.js";
import type { Patience } from "../http/turns.js";
import type { ProxyError } from "../vocabulary/errors.js";
import type { Begun } from "./break-off.js";

/** What was decided about an upload before any of it is sent. */
export interface RelayPlan extends Patience {
  /** Towards Glance. */
  readonly framing: Framing;
  /** The size of the body; absent if it is unknown. */
  readonly declaredBytes?: number | undefined;
  /** Most bytes accepted; for bodies of unknown size. */
  readonly maxBytes: number;
  /** @returns why a body that has ended may not be finished for Glance; asked when it has ended. */
  readonly refuseEnd?: (() => ProxyError | undefined) | undefined;
  /** Whether the client waits for `100 Continue`. */
  readonly clientWaits: boolean;
}

export type RelayEnd =
  /** Glance answered: after the whole body or, `early`, with a refusal before its end. */
  | { readonly kind: "answered"; readonly answer: IncomingMessage; readonly early: boolean }
  /** The request to Glance was destroyed, or Glance ended it. `whole`: it had the whole body. */
  | { readonly kind: "failed"; readonly error: ProxyError; readonly begun: Begun; readonly whole: boolean };
