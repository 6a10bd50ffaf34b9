/** Reads an image's record from Glance, with the client's credentials. */
import type { HeaderLine } from "../http/request-head.js";
import { readSmallAnswer } from "./small-answer.js";
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
  /** The project that owns the image. */
  readonly owner?: string | undefined;
  /** Time since the last change of the image, by Glance's clock, which counts seconds; undefined if unknown. */
  readonly changedMsAgo?: number | undefined;
}

/** Time limit of a look-up before an upload or import starts, milliseconds. Afterwards Glance decides. */
export const LOOK_UP_TIMEOUT_MS = 10_000;

/** Headers of the client's request that do not identify the client. */
const NOT_IDENTITY =
  /^(accept|cache-control$|content-|expect$|if-|pragma$|prefer$|range$|transfer-encoding$|x-(http-)?method|x-openstack-image-size$)/;

/** Never rejects. @param headers headers of the client's request. */
export async function lookUpImage(
  upstream: Upstream,
  imageId: string,
  headers: readonly HeaderLine[],
  timeoutMs: number,
): Promise<ImageLookUp> {
  const identity = headers.filter(({ name }) => !NOT_IDENTITY.test(name));
  const request = upstream.request("GET", `/v2/images/${encodeURIComponent(imageId)}`, [
    ...identity,
    { name: "accept", value: "application/json" },
  ]);
  const answering = readSmallAnswer(request, { timeoutMs });
  request.end();
  const answer = await answering;
  if (answer.kind !== "answer" || !answer.isWhole) return { kind: "failed" };
  const { head, body } = answer;
  return readLookUp(head.statusCode ?? 0, head.headers.date, body.toString());
}

function readLookUp(httpStatus: number, date: string | undefined, body: string): ImageLookUp {
  if (httpStatus === 404) return { kind: "gone" };
  if (httpStatus === 401 || httpStatus === 403) return { kind: "denied" };
  if (httpStatus !== 200) return { kind: "failed" };
  try {
    const image = JSON.parse(body) as {
      status?: unknown;
      size?: unknown;
      updated_at?: unknown;
      owner?: unknown;
    };
    if (typeof image.status !== "string") return { kind: "failed" };
    const changedMsAgo = Date.parse(date ?? "") - Date.parse(String(image.updated_at));
    return {
      kind: "found",
      status: image.status,
      size: typeof image.size === "number" ? image.size : null,
      owner: typeof image.owner === "string" ? image.owner : undefined,
      ...(Number.isNaN(changedMsAgo) ? {} : { changedMsAgo }),
    };
  } catch {
    return { kind: "failed" };
  }
}
