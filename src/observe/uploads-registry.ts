/** The uploads in flight and the last finished uploads, for `/uploads` and the live page. */
import type { z } from "zod";
import { Members } from "../http/members.js";
import type { uploadSchema, uploadsSchema } from "./uploads-schema.js";

/** One upload; uploads-schema.ts describes each field. */
export type UploadView = z.infer<typeof uploadSchema>;

/** `finished` has the newest upload first. */
export type UploadsSnapshot = z.infer<typeof uploadsSchema>;

/** An upload whose view is made when it is wanted. */
export interface Viewed {
  view(): UploadView;
}

export interface UploadsRegistry {
  add(upload: Viewed): void;
  /** Moves an upload to the finished uploads. */
  finish(upload: Viewed): void;
  /** @param listener called with each upload that ends. */
  onFinish(listener: (upload: Viewed) => void): void;
  /** Resolves when no upload is in flight. Never rejects. */
  whenEmpty(): Promise<void>;
  snapshot(): UploadsSnapshot;
  /** Whether another upload of the image is in flight, or completed after an upload of this age began. */
  hasRival(imageId: string, ageSeconds: number): boolean | Promise<boolean>;
}

/** Tolerance for times and ages that are rounded to seconds. */
const RIVAL_SLACK_MS = 2_000;

/** As {@link UploadsRegistry.hasRival}. The first parameter must contain the asking upload among those in flight. */
export function findRival(
  { inFlight, finished }: UploadsSnapshot,
  imageId: string,
  ageSeconds: number,
): boolean {
  if (inFlight.filter((upload) => upload.imageId === imageId).length > 1) return true;
  const since = Date.now() - ageSeconds * 1_000 - RIVAL_SLACK_MS;
  return finished.some(
    (upload) =>
      upload.imageId === imageId &&
      upload.outcome === "completed" &&
      Date.parse(upload.startedAt) + upload.durationSeconds * 1_000 >= since,
  );
}

/** @param keep maximum number of finished uploads to keep. Default: 100. */
export function createUploadsRegistry(keep = 100): UploadsRegistry {
  const inFlight = new Members<Viewed>();
  /** The oldest first. */
  const finished: Viewed[] = [];
  let waiting: (() => void)[] = [];
  const listeners: ((upload: Viewed) => void)[] = [];
  return {
    add(upload) {
      inFlight.add(upload);
    },
    finish(upload) {
      inFlight.delete(upload);
      if (inFlight.size === 0) {
        for (const resolve of waiting) resolve();
        waiting = [];
      }
      finished.push(upload);
      if (finished.length > keep) finished.shift();
      for (const listener of listeners) listener(upload);
    },
    onFinish: (listener) => void listeners.push(listener),
    whenEmpty: () =>
      new Promise((resolve) => {
        if (inFlight.size === 0) resolve();
        else waiting.push(resolve);
      }),
    snapshot,
    hasRival: (imageId, ageSeconds) => findRival(snapshot(), imageId, ageSeconds),
  };

  function snapshot(): UploadsSnapshot {
    return { inFlight: [...inFlight].map(viewOf), finished: finished.map(viewOf).reverse() };
  }
}

function viewOf(upload: Viewed): UploadView {
  return upload.view();
}
