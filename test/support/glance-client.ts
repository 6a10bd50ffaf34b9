/** What tests ask of a Glance, directly or through the proxy, beyond raw requests. */
import { setTimeout as delay } from "node:timers/promises";
import { type HeaderValues, type RawResponse, request } from "./raw-http.js";

export interface ImageView {
  readonly id: string;
  readonly status: string;
  readonly size: number | null;
  readonly checksum: string | null;
  readonly [property: string]: unknown;
}

export const OCTET_STREAM = { "Content-Type": "application/octet-stream" } as const;

const POLL_MS = 10;

/** A new image, `queued`. Properties replace the raw/bare defaults. */
export async function createImage(port: number, properties: Record<string, unknown> = {}): Promise<string> {
  const response = await postJson(port, "/v2/images", {
    name: "test",
    disk_format: "raw",
    container_format: "bare",
    ...properties,
  });
  if (response.status !== 201) throw new Error(`no image was created: ${response.status} ${response.text}`);
  return (response.json() as ImageView).id;
}

export function postJson(
  port: number,
  target: string,
  value: unknown,
  headers: HeaderValues = {},
): Promise<RawResponse> {
  return request(port, "POST", target, {
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(value),
  });
}

export async function showImage(port: number, id: string): Promise<ImageView> {
  const response = await request(port, "GET", `/v2/images/${id}`);
  if (response.status !== 200) throw new Error(`image ${id} not shown: ${response.status} ${response.text}`);
  return response.json() as ImageView;
}

/** Uploads (or stages) a body in one piece, with its `Content-Length`. */
export function putImageData(
  port: number,
  id: string,
  body: string | Uint8Array,
  { operation = "file", headers = {} }: { operation?: "file" | "stage"; headers?: HeaderValues } = {},
): Promise<RawResponse> {
  return request(port, "PUT", `/v2/images/${id}/${operation}`, {
    headers: { ...OCTET_STREAM, ...headers },
    body,
  });
}

/** Waits until the image has one of the statuses. */
export function untilStatus(port: number, id: string, ...statuses: string[]): Promise<ImageView> {
  return until(
    () => showImage(port, id),
    (image) => statuses.includes(image.status),
  );
}

/** Asks again and again until the answer is `good`; the error tells the last answer. */
export async function until<T>(
  ask: () => Promise<T>,
  good: (value: T) => boolean,
  deadlineMs = 30_000,
): Promise<T> {
  const deadline = Date.now() + deadlineMs;
  for (;;) {
    const value = await ask();
    if (good(value)) return value;
    if (Date.now() > deadline)
      throw new Error(`not so within ${deadlineMs} ms; last seen: ${JSON.stringify(value)}`);
    await delay(POLL_MS);
  }
}
