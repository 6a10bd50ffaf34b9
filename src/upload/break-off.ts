/** Aborts a request to Glance whose body must not become complete. */
import type { ClientRequest, IncomingMessage } from "node:http";
import { unrelayableHead } from "../upstream/answer-head.js";
import type { ProxyError } from "../vocabulary/errors.js";

/** Whether Glance may have changed the image. `unseen`: the request was cut before the image showed that Glance had begun. */
export type Begun = "no" | "unseen" | "yes";

/**
 * Waits until the image shows that Glance has begun, for at most `rollback.timeout`.
 *
 * @param over resolves when Glance has answered or closed.
 * @param said100 Glance, or a server in front of Glance, has sent `100`.
 * @returns whether the image showed it.
 */
export type UntilBegun = (over: Promise<void>, said100: boolean) => Promise<boolean>;

export interface BreakOffOptions {
  /** Absent if nothing was sent to Glance. The caller destroys it. */
  readonly upstream: ClientRequest | undefined;
  readonly error: ProxyError;
  /** The kernel has accepted the whole body. */
  readonly isSent: boolean;
  /** Glance, or a server in front of it, has said `100`. */
  readonly said100: boolean;
  readonly untilBegun: UntilBegun;
}

/**
 * Waits for a slow Glance before the request is destroyed. Otherwise Glance would change the image after the proxy has checked it, and
 * Glance's own refusal would be lost.
 *
 * @returns Glance's refusal, which wins over the proxy's, or whether Glance had begun.
 */
export async function breakOff(options: BreakOffOptions): Promise<IncomingMessage | Begun> {
  const { upstream, error, isSent, said100, untilBegun } = options;
  const { upstreamKind } = error;
  if (!upstream || upstreamKind === "connect" || upstreamKind === "connect_timeout") return "no";
  if (isSent || upstream.destroyed) return "yes";
  // A silent Glance may not have begun. The image shows it, and a late refusal still wins.
  if (upstreamKind !== undefined && error.code !== "upstream_timeout") return "yes";
  let refusal: IncomingMessage | undefined;
  const over = new Promise<void>((resolve) => {
    upstream.once("close", resolve);
    upstream.once("response", (answer) => {
      if (isRefusal(answer)) refusal = answer;
      resolve();
    });
  });
  // If the body was wrong at once, the head is still corked.
  upstream.flushHeaders();
  upstream.uncork();
  const seen = await untilBegun(over, said100);
  if (refusal) return refusal;
  return seen || upstream.destroyed ? "yes" : "unseen";
}

function isRefusal(answer: IncomingMessage): boolean {
  return (answer.statusCode ?? 0) >= 300 && unrelayableHead(answer) === undefined;
}
