/** The uploads that are tried with each store: through what they go, how they are framed, where they are cut. */
import { createHash, type Hash, randomBytes } from "node:crypto";
import { get } from "node:http";
import { OCTET_STREAM } from "../support/glance-client.js";
import { connect, type HeaderValues, type Peer, type RawResponse } from "../support/raw-http.js";
import { MIB } from "./tested-store.js";

/** `direct` to Glance, or through a proxy with that `size.unknown`. */
export type Through = "direct" | "forward" | "spool";
export type Framing = "Content-Length" | "chunked, size declared" | "chunked";

export interface Way {
  readonly through: Through;
  readonly framing: Framing;
}

export const WAYS: readonly Way[] = [
  { through: "direct", framing: "Content-Length" },
  { through: "direct", framing: "chunked, size declared" },
  { through: "direct", framing: "chunked" },
  { through: "forward", framing: "Content-Length" },
  { through: "forward", framing: "chunked, size declared" },
  { through: "forward", framing: "chunked" },
  { through: "spool", framing: "chunked" },
];

export function describeWay({ through, framing }: Way): string {
  if (through === "direct") return `direct, ${framing}`;
  return framing === "chunked" ? `proxy, chunked, \`size.unknown: ${through}\`` : `proxy, ${framing}`;
}

/** Whether Glance is told the size; only a proxy tells it what `x-openstack-image-size` says. */
export function isDeclared({ through, framing }: Way): boolean {
  return (
    framing === "Content-Length" || through === "spool" || (through === "forward" && framing !== "chunked")
  );
}

/** As glanceclient has them. */
const PIECE_BYTES = 64 * 1024;
const DEADLINE_MS = 300_000;
const BLOCK = randomBytes(MIB);

/** The image's bytes from its beginning; each MiB begins with its number, so that none is taken for another. */
function* pieces(bytes: number): Generator<Buffer> {
  for (let from = 0; from < bytes; from += PIECE_BYTES) {
    const start = from % MIB;
    const piece = Buffer.from(BLOCK.subarray(start, start + Math.min(PIECE_BYTES, bytes - from)));
    if (start === 0 && piece.length >= 4) piece.writeUInt32BE(from / MIB);
    yield piece;
  }
}

export function digest(bytes: number): string {
  const hash = createHash("sha256");
  for (const piece of pieces(bytes)) hash.update(piece);
  return hash.digest("hex");
}

/** Begins an upload. @param declared the size that is told, if the framing tells one. @param bytes how many are sent. */
export async function begin(
  port: number,
  id: string,
  framing: Framing,
  declared: number,
  bytes: number,
): Promise<Peer> {
  const headers: Record<Framing, HeaderValues> = {
    "Content-Length": { "Content-Length": declared },
    "chunked, size declared": { "Transfer-Encoding": "chunked", "x-openstack-image-size": declared },
    chunked: { "Transfer-Encoding": "chunked" },
  };
  const peer = await connect(port);
  peer.sendHead("PUT", `/v2/images/${id}/file`, {
    ...OCTET_STREAM,
    Connection: "close",
    ...headers[framing],
  });
  for (const piece of pieces(bytes)) {
    if (framing === "Content-Length") peer.send(piece);
    else peer.sendChunk(piece);
    await peer.flushed(DEADLINE_MS);
  }
  return peer;
}

/** A whole upload. */
export async function upload(
  port: number,
  id: string,
  framing: Framing,
  declared: number,
  bytes: number,
): Promise<RawResponse> {
  const peer = await begin(port, id, framing, declared, bytes);
  if (framing !== "Content-Length") peer.endChunks();
  const answer = await peer.response({ deadlineMs: DEADLINE_MS });
  peer.destroy();
  return answer;
}

/** @returns the SHA-256 of the image's data. */
export async function download(port: number, id: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const hash: Hash = createHash("sha256");
    get({ host: "127.0.0.1", port, path: `/v2/images/${id}/file`, agent: false }, (answer) => {
      answer.on("data", (piece: Buffer) => hash.update(piece));
      answer.once("error", reject);
      answer.once("end", () => resolve(hash.digest("hex")));
    }).once("error", reject);
  });
}
