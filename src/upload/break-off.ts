/** Ends a request to Glance whose body must not become whole. */
import type { ClientRequest, IncomingMessage } from "node:http";
import { unrelayableHead } from "../upstream/answer-head.js";
import type { ProxyError } from "../vocabulary/errors.js";

/** Whether Glance may have changed the image: `unseen`, if the request was cut and Glance was not seen to begin. */
export type Begun = "no" | "unseen" | "yes";

/**
 * Waits until Glance has begun, or has been waited for long enough.
 *
 * @param over resolves when Glance has answered or closed.
 * @returns whether Glance was seen to have begun.
 */
export type UntilBegun = (over: Promise<void>) => Promise<boolean>;

export interface BreakOffOptions {
  /** Absent if nothing went to Glance. It is the caller's to destroy. */
  readonly upstream: ClientRequest | undefined;
  readonly error: ProxyError;
  /** Glance has everything, though not as the end of a whole body. */
  readonly bodyEnded: boolean;
  /** Glance, or a server in front of it, has said `100`. */
  readonly said100: boolean;
  readonly untilBegun: UntilBegun;
}

/**
 * Gives a Glance that is slow to begin its time: else it would mark the image only after it was looked at, and a refusal of its own would
 * be lost.
 *
 * @returns Glance's refusal, which wins over the proxy's, or whether Glance had begun.
 */
export async function breakOff(options: BreakOffOptions): Promise<IncomingMessage | Begun> {
  const { upstream, error, bodyEnded, said100, untilBegun } = options;
  if (!upstream || error.code === "upstream_unreachable" || error.code === "upstream_connect_timeout") {
    return "no";
  }
  if (bodyEnded || upstream.destroyed) return "yes";
  if (error.upstreamKind !== undefined) {
    return error.code === "upstream_timeout" && !said100 ? "unseen" : "yes";
  }
  let refusal: IncomingMessage | undefined;
  const over = new Promise<void>((resolve) => {
    upstream.once("close", resolve);
    upstream.once("response", (answer) => {
      if (isRefusal(answer)) refusal = answer;
      resolve();
    });
  });
  // Glance has not been asked yet if the body was wrong before any of it could go.
  upstream.flushHeaders();
  upstream.uncork();
  const seen = await untilBegun(over);
  if (refusal) return refusal;
  return seen || upstream.destroyed ? "yes" : "unseen";
}

function isRefusal(answer: IncomingMessage): boolean {
  return (answer.statusCode ?? 0) >= 300 && unrelayableHead(answer) === undefined;
}
