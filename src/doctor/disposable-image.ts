/** A test image for one check. The image is deleted after the check, even if the check fails. */
import { setTimeout as delay } from "node:timers/promises";
import type { BegunUpload, GlanceAnswer, GlanceClient } from "./glance-client.js";

const NAME = "glance-size-proxy doctor, can be deleted";
const POLL_INTERVAL_MS = 100;

export interface DisposableImage {
  readonly id: string;
  upload(body: string, headers: Record<string, string>): Promise<GlanceAnswer>;
  /** Sends a head and the first part of the body that the head announces. */
  begin(part: string, headers: Record<string, string>): BegunUpload;
  /** Reads the status until it is one of `statuses` or the time has passed. @returns the last status read. */
  untilStatus(statuses: readonly string[], timeoutMs: number): Promise<string>;
  size(): Promise<number | null>;
}

/** Glance refused to create an image (401 or 403). */
export class NotAllowed extends Error {}

/** @throws NotAllowed if the token may not create images; Error with the image's id if it could not be deleted. */
export async function withDisposableImage<T>(
  glance: GlanceClient,
  act: (image: DisposableImage) => Promise<T>,
): Promise<T> {
  const body = JSON.stringify({
    name: NAME,
    disk_format: "raw",
    container_format: "bare",
    visibility: "private",
  });
  const created = await glance.ask("POST", "/v2/images", {
    headers: { "content-type": "application/json" },
    body,
  });
  if (created.status === 401 || created.status === 403)
    throw new NotAllowed(`Glance answered ${created.status}`);
  if (created.status !== 201)
    throw new Error(`could not create a test image: Glance answered ${created.status}`);
  const { id } = JSON.parse(created.text) as { id: string };
  const getImage = async () => {
    const { status, text } = await glance.ask("GET", `/v2/images/${id}`);
    if (status !== 200) throw new Error(`could not read image ${id}: Glance answered ${status}`);
    return JSON.parse(text) as { status: string; size: number | null };
  };
  try {
    return await act({
      id,
      upload: (data, headers) =>
        glance.ask("PUT", `/v2/images/${id}/file`, {
          headers: { "content-type": "application/octet-stream", ...headers },
          body: data,
        }),
      begin: (part, headers) => glance.beginUpload(`/v2/images/${id}/file`, headers, part),
      async untilStatus(statuses, timeoutMs) {
        const deadline = performance.now() + timeoutMs;
        for (;;) {
          const { status } = await getImage();
          if (statuses.includes(status) || performance.now() > deadline) return status;
          await delay(POLL_INTERVAL_MS);
        }
      },
      size: async () => (await getImage()).size,
    });
  } finally {
    await remove(glance, id);
  }
}

async function remove(glance: GlanceClient, id: string): Promise<void> {
  const { status } = await glance.ask("DELETE", `/v2/images/${id}`);
  if (status !== 204) throw new Error(`could not delete test image ${id} (${status}): delete it manually`);
}
