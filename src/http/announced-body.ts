/**
 * Reads the framing of a request's body from its head (RFC 9112, section 6.3). This is the only place that reads `Content-Length` and
 * `Transfer-Encoding`. Pure.
 */
import type { RequestHead } from "./request-head.js";

export type AnnouncedBody =
  /** No framing header: the body is empty. */
  | { readonly kind: "none" }
  /** `Content-Length`. */
  | { readonly kind: "length"; readonly bytes: number }
  /** `Transfer-Encoding` with any coding. `request-guard.ts` accepts only `chunked`. */
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

const SHORT_LENGTH = /\r\ncontent-length:[\t ]*(\d{1,9})[\t ]*\r\n/i;

/**
 * A quick look at the text of a head, to choose how its body is read. What the head announces is decided elsewhere.
 * @returns whether it seems to announce fewer bytes.
 */
export function seemsShorter(head: string, bytes: number): boolean {
  const length = SHORT_LENGTH.exec(head)?.[1];
  return length !== undefined && Number(length) < bytes;
}

/** Whether the body is empty. */
export function isEmpty(body: AnnouncedBody): boolean {
  return body.kind === "none" || (body.kind === "length" && body.bytes === 0);
}

/** Decimal digits without leading zeros (RFC 9110), and a safe integer. */
function parseContentLength(value: string): number | undefined {
  const bytes = /^(0|[1-9][0-9]{0,15})$/.test(value) ? Number(value) : Number.NaN;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
