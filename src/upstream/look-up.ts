/** Looking an image up in Glance, with the credentials of the client whose request it is about. */
import type { HeaderLine } from "../http/request-head.js";
import type { Upstream } from "./upstream.js";

export type ImageLookUp =
  | FoundImage
  /** Not there, or not for this client. */
  | { readonly kind: "gone" }
  /** The client's credentials do not let it look: its token has ended, for example. */
  | { readonly kind: "denied" }
  | { readonly kind: "failed" };

export interface FoundImage {
  readonly kind: "found";
  readonly status: string;
  readonly size: number | null;
  /** How long ago the image was changed last, by Glance's own clock, whose unit is the second; undefined if Glance does not say. */
  readonly changedMsAgo?: number | undefined;
}

/** How long an image is looked up before something is begun; then Glance is asked by doing it. Milliseconds. */
export const LOOK_UP_TIMEOUT_MS = 10_000;

/** An image's record is a few KiB; anything far larger is not one. */
const MAX_BODY_BYTES = 1024 * 1024;

/** Headers of the client's request that speak of its body or of what it would accept, not of who it is. */
const NOT_IDENTITY =
  /^(accept|cache-control$|content-|expect$|if-|pragma$|prefer$|range$|transfer-encoding$|x-(http-)?method|x-openstack-image-size$)/;

/** Never throws. @param headers those of the client's request. */
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
      resolve({ kind: "failed" }); // without effect where an answer came
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
