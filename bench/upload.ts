/** The client of the benchmarks: as cheap as a client can be, so that what is measured is not the client. */
import { randomFillSync } from "node:crypto";
import { OCTET_STREAM } from "../test/support/glance-client.js";
import { connect, type HeaderValues } from "../test/support/raw-http.js";

/** How a body is sent: glanceclient before 4.10 and gophercloud; glanceclient since 4.10; openstacksdk and curl. */
export type Body = "chunked" | "chunked, size in a header" | "Content-Length";

/** Bodies are made of whole ones. */
export const PIECE_BYTES = 2 ** 20;
/** As glanceclient has it. */
const CHUNK_BYTES = 64 * 1024;
/** Glance may take minutes to store a body whose size it does not know. */
const PATIENCE_MS = 600_000;

/** The one piece that every body is made of. */
const piece = randomFillSync(Buffer.allocUnsafe(PIECE_BYTES));
const chunkedPiece = Buffer.concat(
  Array.from({ length: PIECE_BYTES / CHUNK_BYTES }, (_, index) => [
    Buffer.from(`${CHUNK_BYTES.toString(16)}\r\n`),
    piece.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES),
    Buffer.from("\r\n"),
  ]).flat(),
);

/**
 * @param sizeBytes a multiple of `PIECE_BYTES`.
 * @returns seconds from the opening of the connection to the answer.
 * @throws unless that is a 204.
 */
export async function upload(port: number, imageId: string, body: Body, sizeBytes: number): Promise<number> {
  const startedAt = performance.now();
  const peer = await connect(port);
  try {
    peer.sendHead("PUT", `/v2/images/${imageId}/file`, { ...OCTET_STREAM, ...framing(body, sizeBytes) });
    const bytes = body === "Content-Length" ? piece : chunkedPiece;
    for (let sent = 0; sent < sizeBytes; sent += PIECE_BYTES) await peer.send(bytes).flushed(PATIENCE_MS);
    if (body !== "Content-Length") peer.endChunks();
    const { status, text } = await peer.response({ deadlineMs: PATIENCE_MS });
    if (status !== 204)
      throw new Error(`an upload (${body}, ${sizeBytes} bytes) was answered ${status}: ${text}`);
    return (performance.now() - startedAt) / 1000;
  } finally {
    peer.destroy();
  }
}

function framing(body: Body, bytes: number): HeaderValues {
  switch (body) {
    case "chunked":
      return { "Transfer-Encoding": "chunked" };
    case "chunked, size in a header":
      return { "Transfer-Encoding": "chunked", "x-openstack-image-size": bytes };
    case "Content-Length":
      return { "Content-Length": bytes };
  }
}
