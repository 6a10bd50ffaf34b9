/** Reads the declared size of an upload from its head. Pure. */
import type { AnnouncedBody } from "../http/announced-body.js";
import type { RequestHead } from "../http/request-head.js";
import { ProxyError, sizeExceeded, sizeMismatch } from "../vocabulary/errors.js";
import { SIZE_HEADER } from "../vocabulary/size-header.js";
import type { UnknownSizeDecision } from "./unknown-size.js";

export type KnownSize =
  | { readonly source: "header" | "content_length"; readonly bytes: number }
  /** `hint`: the name of the header. */
  | { readonly source: "hint"; readonly bytes: number; readonly hint: string };

export interface UnknownSize {
  readonly source: "unknown";
  readonly bytes?: never;
  readonly decision: UnknownSizeDecision;
}

export type DeclaredSize = KnownSize | UnknownSize;

/** Glance's own words for a header it cannot read. */
const INVALID_SIZE = "Invalid or missing image size in request headers.";

/**
 * All sizes that the client declared, in order of precedence: `x-openstack-image-size`, the hints, `Content-Length`.
 *
 * @throws ProxyError `invalid_size` if a value is not one plain decimal number.
 */
export function readDeclaredSizes(
  head: RequestHead,
  announced: AnnouncedBody,
  hints: readonly string[],
): KnownSize[] {
  const sizes = [
    { source: "header" as const, bytes: readSize(head, SIZE_HEADER) },
    ...hints.map((name) => ({ source: "hint" as const, bytes: readSize(head, name), hint: name })),
    { source: "content_length" as const, bytes: bodyLength(announced) },
  ];
  return sizes.filter((size): size is KnownSize => size.bytes !== undefined);
}

/**
 * All sizes must equal the first.
 *
 * @throws ProxyError `size_exceeded` or `size_mismatch`, worded as Glance words a body of the wrong size.
 */
export function requireAgreement([first, ...others]: readonly KnownSize[]): void {
  const other = others.find(({ bytes }) => bytes !== first?.bytes);
  if (first === undefined || other === undefined) return;
  const refuse = other.bytes > first.bytes ? sizeExceeded : sizeMismatch;
  throw refuse(first.bytes, other.bytes, new Error(`${inHead(first)}, ${inHead(other)}`));
}

/** A size as the head has it. */
function inHead(size: KnownSize): string {
  switch (size.source) {
    case "header":
      return `${SIZE_HEADER}: ${size.bytes}`;
    case "hint":
      return `${size.hint}: ${size.bytes}`;
    case "content_length":
      return size.bytes === 0 ? "no body" : `Content-Length: ${size.bytes}`;
  }
}

const FORWARD: UnknownSizeDecision = { policy: "forward", rule: "default" };

/** The size that the framing of the body announces. A body of unknown size is forwarded. @throws ProxyError `invalid_size` if two servers could read it differently. */
export function sizeByFraming(announced: AnnouncedBody): DeclaredSize {
  const bytes = bodyLength(announced);
  return bytes === undefined ? { source: "unknown", decision: FORWARD } : { source: "content_length", bytes };
}

/** The length from HTTP framing. Without framing the body is empty (RFC 9112, section 6.3). */
function bodyLength(announced: AnnouncedBody): number | undefined {
  switch (announced.kind) {
    case "none":
      return 0;
    case "length":
      return announced.bytes;
    case "chunked":
      return undefined;
    case "invalid":
      throw invalidSize("content-length", announced.value);
  }
}

function readSize(head: RequestHead, name: string): number | undefined {
  const values = head.values(name);
  const [value] = values;
  if (value === undefined) return undefined;
  const bytes = values.length === 1 ? parseImageSize(value) : undefined;
  if (bytes === undefined) throw invalidSize(name, values.join(", "));
  return bytes;
}

/** The client gets Glance's message. Name and value are in the cause, which only the record shows. */
function invalidSize(name: string, value: string): ProxyError {
  return new ProxyError("invalid_size", INVALID_SIZE, {
    cause: new Error(`${name}: ${JSON.stringify(value)}`),
  });
}

/** Digits only. Glance also accepts `+5` and `1_000`, which other software reads differently. */
function parseImageSize(value: string): number | undefined {
  const bytes = /^[0-9]{1,16}$/.test(value) ? Number(value) : Number.NaN;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
