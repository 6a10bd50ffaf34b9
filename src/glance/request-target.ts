/**
 * Recognises the requests that Glance treats as uploads. Glance decodes, collapses and overrides targets in many ways (observed under
 * eventlet and uWSGI). So a target is parsed once, here, and the target for Glance is rebuilt from the result. If two servers could read
 * a spelling differently, it is refused. Pure.
 */

import type { Operation } from "../vocabulary/labels.js";

export type RequestTarget =
  | {
      readonly kind: "upload";
      readonly operation: Operation;
      readonly imageId: string;
      readonly path: string;
    }
  | { readonly kind: "import"; readonly imageId: string; readonly path: string }
  /** A task; Glance lets its administrators import with it. */
  | { readonly kind: "task"; readonly path: string }
  /** A browser asks whether it may upload. */
  | { readonly kind: "preflight"; readonly path: string }
  /** Image data. */
  | { readonly kind: "download"; readonly path: string }
  | { readonly kind: "other"; readonly path: string }
  | { readonly kind: "outside" }
  | { readonly kind: "refused"; readonly reason: string };

/** The version is optional: Glance then decides by `Accept: application/vnd.openstack.images-v2`. */
const IMAGE_ACTION = /^((?:\/v2(?:\.\d+)?)?)\/images\/([^/]+)\/(file|stage|import)$/;
const TASKS = /^(?:\/v2(?:\.\d+)?)?\/tasks$/;

/**
 * @param method the method as received.
 * @param target the request target as received, not decoded.
 * @param prefix `listen.pathPrefix`.
 * @returns `path` is the target for Glance: without the prefix, with the query, canonical for uploads.
 */
export function readTarget(method: string, target: string, prefix: string): RequestTarget {
  if (!target.startsWith("/")) return refused("it must be a path");

  if (/[^\x21-\x7e]|[\\#]/.test(target)) return refused("it contains a byte that is not allowed");

  const queryAt = target.indexOf("?");
  const query = queryAt === -1 ? "" : target.slice(queryAt);
  if (overridesMethod(query)) return refused("the query must not override the method (_method)");

  const rawPath = (queryAt === -1 ? target : target.slice(0, queryAt)).replace(/\/{2,}/g, "/");
  const decoded = decodeOnce(rawPath);
  if (typeof decoded !== "string") return decoded;
  if (/\/\.\.?(?:\/|$)/.test(decoded)) return refused("the path contains a dot segment");

  if (prefix !== "" && rawPath !== prefix && !rawPath.startsWith(`${prefix}/`)) return { kind: "outside" };
  const path = rawPath.slice(prefix.length);
  const original = `${path === "" ? "/" : path}${query}`;
  const route = decoded.slice(prefix.length);
  if (method === "POST" && TASKS.test(route)) return { kind: "task", path: `${route}${query}` };
  const action = IMAGE_ACTION.exec(route);
  if (action) {
    const [, version = "", imageId = "", name] = action;
    const canonical = `${version}/images/${encodeURIComponent(imageId)}/${name}${query}`;
    if (method === "PUT" && (name === "file" || name === "stage")) {
      return { kind: "upload", operation: name, imageId, path: canonical };
    }
    if (method === "POST" && name === "import") return { kind: "import", imageId, path: canonical };
    if (method === "OPTIONS" && name !== "import") return { kind: "preflight", path: original };
    if (method === "GET" && name === "file") return { kind: "download", path: original };
  }
  return { kind: "other", path: original };
}

function refused(reason: string): RequestTarget {
  return { kind: "refused", reason: `Invalid request target: ${reason}.` };
}

function decodeOnce(path: string): string | RequestTarget {
  if (!path.includes("%")) return path; // the usual case
  if (/%2f|%5c/i.test(path)) return refused("the path contains an encoded slash");
  let decoded: string;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    return refused("the path contains a malformed percent-encoding");
  }
  // ASCII's alone: a control character, and none of those beyond.
  if (/[^\P{Cc}\x80-\x9f]/u.test(decoded)) return refused("the path contains an encoded control byte");
  return decoded;
}

/** Glance's router (python-routes) lets a `_method` in the query replace the method; it splits at `&` and `;`. */
function overridesMethod(query: string): boolean {
  if (query === "") return false; // the usual case
  return query
    .slice(1)
    .split(/[&;]/)
    .some((pair) => decodeLeniently(pair.split("=", 1)[0] ?? "").trim() === "_method");
}

/** Like Python's `unquote`: invalid escapes stay unchanged. */
function decodeLeniently(text: string): string {
  return text
    .replaceAll("+", " ")
    .replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
