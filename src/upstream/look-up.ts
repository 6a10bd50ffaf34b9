/** Reads an image's record from Glance, with the client's credentials. */
import type { HeaderLine } from "../http/request-head.js";
import type { Upstream } from "./upstream.js";

export type ImageLookUp =
  | FoundImage
  /** The image does not exist, or not for this client. */
  | { readonly kind: "gone" }
  /** The client's credentials are not accepted: its token has expired, for example. */
  | { readonly kind: "denied" }
  | { readonly kind: "failed" };

export interface FoundImage {
  readonly kind: "found";
  readonly status: string;
  readonly size: number | null;
  /** Time since the last change of the image, by Glance's clock, which counts seconds; undefined if unknown. */
  readonly changedMsAgo?: number | undefined;
}

/** Time limit of a look-up before an upload or import starts, milliseconds. Afterwards Glance decides. */
export const LOOK_UP_TIMEOUT_MS = 10_000;

/** Maximum size of the answer. An image's record has a few KiB. */
const MAX_BODY_BYTES = 1024 * 1024;

/** Headers of the client's request that do not identify the client. */
const NOT_IDENTITY =
  /^(accept|cache-control$|content-|expect$|if-|pragma$|prefer$|range$|transfer-encoding$|x-(http-)?method|x-openstack-image-size$)/;

/** Never rejects. @param headers headers of the client's request. */
export function lookUpImage(
  upstream: Upstream,
  imageId: string,
  headers: readonly HeaderLine[],
  timeoutMs: number,
): Promise<ImageLookUp> {
  return new Promise((resolve) => {
    const identity = headers.filter(({ name }) => !NOT_IDENTITY.test(name));
    const request = upstream.request("GET", `/v2/images/${encodeURIComponent(imageId)}`, [
      ...identity,
      { name: "accept", value: "application/json" },
    ]);
    const timer = setTimeout(() => request.destroy(), timeoutMs);
    request.once("close", () => {
      clearTimeout(timer);
      resolve({ kind: "failed" }); // no effect after an answer
    });
    request.once("error", () => resolve({ kind: "failed" }));
    request.once("response", (response) => {
      const pieces: Buffer[] = [];
      let bytes = 0;
      response.on("data", (piece: Buffer) => {
        bytes += piece.length;
        if (bytes > MAX_BODY_BYTES) request.destroy();
        else pieces.push(piece);
      });
      response.once("error", () => resolve({ kind: "failed" }));
      response.once("end", () =>
        resolve(
          readLookUp(response.statusCode ?? 0, response.headers.date, Buffer.concat(pieces).toString()),
        ),
      );
    });
    request.end();
  });
}

function readLookUp(httpStatus: number, date: string | undefined, body: string): ImageLookUp {
  if (httpStatus === 404) return { kind: "gone" };
  if (httpStatus === 401 || httpStatus === 403) return { kind: "denied" };
  if (httpStatus !== 200) return { kind: "failed" };
  try {
    const image = JSON.parse(body) as { status?: unknown; size?: unknown; updated_at?: unknown };
    if (typeof image.status !== "string") return { kind: "failed" };
    const changedMsAgo = Date.parse(date ?? "") - Date.parse(String(image.updated_at));
    return {
      kind: "found",
      status: image.status,
      size: typeof image.size === "number" ? image.size : null,
      ...(Number.isNaN(changedMsAgo) ? {} : { changedMsAgo }),
    };
  } catch {
    return { kind: "failed" };
  }
}
