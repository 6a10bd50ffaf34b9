/** Reads from Glance, with the client's credentials, what it says of an image and of a project's quotas. */
import type { HeaderLine } from "../http/request-head.js";
import { readSmallAnswer, type SmallAnswer } from "./small-answer.js";
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
async function get(
  upstream: Upstream,
  path: string,
  headers: readonly HeaderLine[],
  timeoutMs: number,
): Promise<SmallAnswer> {
  const identity = headers.filter(({ name }) => !NOT_IDENTITY.test(name));
  const request = upstream.request("GET", path, [...identity, { name: "accept", value: "application/json" }]);
  const answering = readSmallAnswer(request, { timeoutMs });
  request.end();
  return answering;
}

/** Never rejects. @param headers headers of the client's request. */
export async function lookUpImage(
  upstream: Upstream,
  imageId: string,
  headers: readonly HeaderLine[],
  timeoutMs: number,
): Promise<ImageLookUp> {
  const answer = await get(upstream, `/v2/images/${encodeURIComponent(imageId)}`, headers, timeoutMs);
  if (answer.kind !== "answer" || !answer.isWhole) return { kind: "failed" };
  const { head, body } = answer;
  return readLookUp(head.statusCode ?? 0, head.headers.date, body.toString());
}

function readLookUp(httpStatus: number, date: string | undefined, body: string): ImageLookUp {
  if (httpStatus === 404) return { kind: "gone" };
  if (httpStatus === 401 || httpStatus === 403) return { kind: "denied" };
  if (httpStatus !== 200) return { kind: "failed" };
  try {
    const image = JSON.parse(body) as Record<"status" | "size" | "owner" | "updated_at", unknown>;
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

/** In Glance's units: MiB, or a number of images. */
export interface ResourceUsage {
  readonly usage: number;
  /** -1: no limit. */
  readonly limit: number;
}

/** @returns `none` if this Glance has no such quotas. Never rejects. @param headers headers of the client's request. */
export async function lookUpUsage(
  upstream: Upstream,
  headers: readonly HeaderLine[],
  timeoutMs: number,
): Promise<ReadonlyMap<string, ResourceUsage> | "none" | "failed"> {
  const answer = await get(upstream, "/v2/info/usage", headers, timeoutMs);
  if (answer.kind !== "answer" || !answer.isWhole) return "failed";
  const { statusCode, headers: told } = answer.head;
  // An older Glance does not have this path. Its 404 has a request id. That of a router in front of Glance has none, and tells nothing.
  if (statusCode === 404 && told["x-openstack-request-id"] !== undefined) return "none";
  return statusCode === 200 ? readUsage(answer.body.toString()) : "failed";
}

/** Without `use_keystone_limits`, Glance answers with an empty object. */
function readUsage(body: string): ReadonlyMap<string, ResourceUsage> | "none" | "failed" {
  try {
    const { usage } = JSON.parse(body) as { usage: Record<string, Partial<ResourceUsage> | null> };
    const usages = new Map<string, ResourceUsage>();
    for (const [name, resource] of Object.entries(usage)) {
      const { usage: used, limit } = resource ?? {};
      if (typeof used === "number" && typeof limit === "number") usages.set(name, { usage: used, limit });
    }
    return Object.keys(usage).length === 0 ? "none" : usages;
  } catch {
    return "failed";
  }
}
