/** Uploads of every kind by the hundred, and what each client saw. */
import { once } from "node:events";
import { createImage, OCTET_STREAM } from "../support/glance-client.js";
import { connect } from "../support/raw-http.js";

export const KINDS = ["exact", "long", "short", "vanishing"] as const;
export type Kind = (typeof KINDS)[number];

export interface Sent {
  readonly kind: Kind;
  readonly imageId: string;
  /** Body bytes handed to the connection. */
  readonly bytes: number;
  /** Undefined for a client that left. */
  readonly status: number | undefined;
  readonly text: string;
}

export interface TrafficOptions {
  readonly proxyPort: number;
  readonly glancePort: number;
  readonly count: number;
  /** How many at once. */
  readonly concurrency: number;
  readonly bodyBytes: number;
  /** They take turns, so that their shares are known. Default: all. */
  readonly kinds?: readonly Kind[];
}

const PIECE_BYTES = 16 * 1024;

export async function sendTraffic(options: TrafficOptions): Promise<Sent[]> {
  const { kinds = KINDS } = options;
  const sent: Sent[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < options.count) {
      const kind = kinds[next % kinds.length] ?? "exact";
      next += 1;
      sent.push(await sendOne(kind, options));
    }
  };
  await Promise.all(Array.from({ length: options.concurrency }, work));
  return sent;
}

async function sendOne(kind: Kind, { proxyPort, glancePort, bodyBytes }: TrafficOptions): Promise<Sent> {
  const imageId = await createImage(glancePort);
  const peer = await connect(proxyPort);
  try {
    peer.sendHead("PUT", `/v2/images/${imageId}/file`, {
      ...OCTET_STREAM,
      "Transfer-Encoding": "chunked",
      "x-openstack-image-size": bodyBytes,
      Connection: "close",
    });
    const total = { exact: bodyBytes, long: bodyBytes + 1, short: bodyBytes - 1, vanishing: bodyBytes >> 1 }[
      kind
    ];
    for (let at = 0; at < total; at += PIECE_BYTES) {
      peer.sendChunk(Buffer.alloc(Math.min(PIECE_BYTES, total - at)));
      await peer.flushed(60_000);
    }
    if (kind === "vanishing") {
      // Gone, but not before all of it is on its way: so that it is known how many bytes were sent.
      peer.socket.end();
      await once(peer.socket, "finish");
      return { kind, imageId, bytes: total, status: undefined, text: "" };
    }
    const { status, text } = await peer.endChunks().response({ deadlineMs: 60_000 });
    return { kind, imageId, bytes: total, status, text };
  } finally {
    peer.destroy();
  }
}
