/** After an aborted upload: waiting until Glance has put the image back. The image is only ever looked at. */
import { setTimeout as delay } from "node:timers/promises";
import type { ImageLookUp } from "../glance/image-status.js";

/** `queued`: no longer `saving` or `uploading`; `timeout`: still so; `active`: Glance holds it as whole; `unknown`: not to be seen. */
export type RollbackResult = "queued" | "timeout" | "active" | "unknown";

export interface RollbackOptions {
  /** Milliseconds. */
  readonly timeout: number;
  /** Milliseconds. */
  readonly interval: number;
}

export async function awaitRollback(
  lookUp: (timeoutMs: number) => Promise<ImageLookUp>,
  { timeout, interval }: RollbackOptions,
): Promise<RollbackResult> {
  const deadline = Date.now() + timeout;
  let result: RollbackResult = "unknown";
  for (;;) {
    const left = deadline - Date.now();
    if (left <= 0) return result;
    const seen = await lookUp(left);
    switch (seen.kind) {
      case "gone":
        return "unknown";
      case "failed":
        break; // Glance may be busy for a moment: look again
      case "found":
        if (seen.status === "active") return "active";
        if (seen.status !== "saving" && seen.status !== "uploading") return "queued";
        result = "timeout";
        break;
    }
    await delay(Math.min(interval, Math.max(deadline - Date.now(), 0)));
  }
}

/** What the client is told, behind the reason of the refusal; nothing where all is well. */
export function explainRollback(result: RollbackResult | undefined, imageId: string): string {
  switch (result) {
    case "timeout":
      return ` (Glance has not yet put image ${imageId} back to queued: wait before you retry.)`;
    case "active":
      return ` (Glance shows image ${imageId} as active: check its size and checksum before you use it.)`;
    case "queued":
    case "unknown":
    case undefined:
      return "";
  }
}
