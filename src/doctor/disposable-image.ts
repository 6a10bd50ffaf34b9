/** Images that a check makes for itself, and deletes whatever becomes of the check. */
import { setTimeout as delay } from "node:timers/promises";
import type { AskedGlance, BegunUpload, GlanceAnswer } from "./glance.js";

const NAME = "glance-size-proxy doctor, can be deleted";
const POLL_INTERVAL_MS = 100;

export interface DisposableImage {
  readonly id: string;
  upload(body: string, headers: Record<string, string>): Promise<GlanceAnswer>;
  /** Sends a head and a part of the body that it announces. */
  begin(part: string, headers: Record<string, string>): BegunUpload;
  /** Looks until one of the statuses is seen, or the time is over. @returns the status last seen. */
  untilStatus(statuses: readonly string[], timeoutMs: number): Promise<string>;
  size(): Promise<number | null>;
}

/** No image could be made: with a wrong token, or none. */
export class NotAllowed extends Error {}

/** @throws NotAllowed; and if the image could not be deleted, with its id. */
export async function withDisposableImage<T>(
  glance: AskedGlance,
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
  const show = async () => {
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
          const { status } = await show();
          if (statuses.includes(status) || performance.now() > deadline) return status;
          await delay(POLL_INTERVAL_MS);
        }
      },
      size: async () => (await show()).size,
    });
  } finally {
    await remove(glance, id);
  }
}

async function remove(glance: AskedGlance, id: string): Promise<void> {
  const { status } = await glance.ask("DELETE", `/v2/images/${id}`);
  if (status !== 204) throw new Error(`could not delete test image ${id} (${status}): delete it manually`);
}
