/**
 * What the head of a request announces of its body (RFC 9112, section 6.3). This is the only place that reads `Content-Length`
 * and `Transfer-Encoding`: whoever decides about a body, or frames one, asks for this reading. Pure.
 */
import type { RequestHead } from "./request-head.js";

export type AnnouncedBody =
  /** No framing at all: the body is empty. */
  | { readonly kind: "none" }
  /** `Content-Length`. */
  | { readonly kind: "length"; readonly bytes: number }
  /** `Transfer-Encoding`, whatever the coding: the guard of requests lets only `chunked` pass. */
  | { readonly kind: "chunked" }
  /** A `Content-Length` that two servers could read differently. */
  | { readonly kind: "invalid"; readonly value: string };

const NONE: AnnouncedBody = { kind: "none" };
const CHUNKED: AnnouncedBody = { kind: "chunked" };

export function readAnnouncedBody(head: RequestHead): AnnouncedBody {
  if (head.values("transfer-encoding").length > 0) return CHUNKED;
  const values = head.values("content-length");
  const [value] = values;
  if (value === undefined) return NONE;
  const bytes = values.length === 1 ? parseContentLength(value) : undefined;
  return bytes === undefined ? { kind: "invalid", value: values.join(", ") } : { kind: "length", bytes };
}

/** If no byte of a body can follow the head. */
export function isEmpty(body: AnnouncedBody): boolean {
  return body.kind === "none" || (body.kind === "length" && body.bytes === 0);
}

/** A `Content-Length` as RFC 9110 writes it: decimal, no leading zeros, and a number that this program can count to. */
function parseContentLength(value: string): number | undefined {
  const bytes = /^(0|[1-9][0-9]{0,15})$/.test(value) ? Number(value) : Number.NaN;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
