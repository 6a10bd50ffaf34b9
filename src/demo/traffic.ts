/** A little traffic for the live page: some clients, each of which uploads one image after the other until it is stopped. */
import { once } from "node:events";
import { type ClientRequest, type OutgoingHttpHeaders, request } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import type { RunningStandInGlance } from "./stand-in-glance.js";

interface Image {
  readonly userAgent: string;
  readonly bodyBytes: number;
  /** Bytes that the client declares. Default: none. */
  readonly declaredBytes?: number;
  /** The client disconnects after this many bytes. Default: it sends the whole body. */
  readonly leavesAfter?: number;
}

const MIB = 1024 * 1024;
const TICK_MS = 200;
/** A slow client, so that its upload can be watched. */
const BYTES_PER_TICK = 0.4 * MIB;
const PAUSE_MS = 1_500;
const PIECE = Buffer.alloc(BYTES_PER_TICK);

const SDK = "openstacksdk/4.5.0 keystoneauth1/5.8.0 python-requests/2.32.3 CPython/3.11.2";
const GLANCECLIENT = "python-glanceclient";

/** The clients work at the same time, each through its own list and then from the beginning. */
const CLIENTS: readonly (readonly Image[])[] = [
  [
    { userAgent: SDK, bodyBytes: 48 * MIB, declaredBytes: 48 * MIB },
    { userAgent: SDK, bodyBytes: 8 * MIB, declaredBytes: 16 * MIB },
  ],
  [
    { userAgent: GLANCECLIENT, bodyBytes: 24 * MIB },
    { userAgent: "gophercloud/v2.4.0", bodyBytes: 12 * MIB },
  ],
  [
    { userAgent: "curl/8.14.1", bodyBytes: 6 * MIB, declaredBytes: 6 * MIB },
    { userAgent: GLANCECLIENT, bodyBytes: 16 * MIB, declaredBytes: 16 * MIB - 1 },
    { userAgent: "curl/8.14.1", bodyBytes: 20 * MIB, declaredBytes: 20 * MIB, leavesAfter: 5 * MIB },
  ],
];

/** @returns a function that stops the traffic. The caller then ends the servers, and with them the uploads in flight. */
export function startTraffic(glance: RunningStandInGlance, proxyUrl: string): () => void {
  const stopping = new AbortController();
  const { signal } = stopping;
  for (const images of CLIENTS) void work(images, glance, proxyUrl, signal);
  return () => stopping.abort();
}

async function work(
  images: readonly Image[],
  glance: RunningStandInGlance,
  proxyUrl: string,
  signal: AbortSignal,
): Promise<void> {
  for (let turn = 0; !signal.aborted; turn += 1) {
    const image = images[turn % images.length];
    if (!image) return;
    const { id } = glance.images.create({ name: "demo", disk_format: "raw", container_format: "bare" });
    // Refusals are part of the show, and Ctrl-C ends the uploads in flight.
    await upload(image, `${proxyUrl}/v2/images/${id}/file`, signal).catch(() => undefined);
    await delay(PAUSE_MS, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    glance.images.delete(id); // the proxy has seen by now what became of it
  }
}

async function upload(image: Image, url: string, signal: AbortSignal): Promise<void> {
  const headers: OutgoingHttpHeaders = {
    "content-type": "application/octet-stream",
    "transfer-encoding": "chunked",
    "user-agent": image.userAgent,
  };
  if (image.declaredBytes !== undefined) headers["x-openstack-image-size"] = image.declaredBytes;
  const outgoing = request(url, { method: "PUT", headers, agent: false, signal });
  const answered = once(outgoing, "response");
  answered.catch(() => undefined);
  await send(outgoing, image, signal);
  const [answer] = (await answered) as [NodeJS.ReadableStream];
  answer.resume();
}

/** Sends until the body ends or the upload is answered. */
async function send(outgoing: ClientRequest, image: Image, signal: AbortSignal): Promise<void> {
  const { bodyBytes, leavesAfter = Infinity } = image;
  let isAnswered = false;
  outgoing.once("response", () => (isAnswered = true));
  for (let sent = 0; sent < bodyBytes && !isAnswered; sent += PIECE.length) {
    if (sent >= leavesAfter) outgoing.destroy();
    if (outgoing.destroyed) return;
    outgoing.write(PIECE.subarray(0, bodyBytes - sent));
    await delay(TICK_MS, undefined, { signal });
  }
  outgoing.end();
}
