/** Learning the size of an upload from its head. Pure. */
import { ProxyError } from "../vocabulary/errors.js";
import type { AnnouncedBody } from "../http/announced-body.js";
import type { RequestHead } from "../http/request-head.js";

export interface KnownSize {
  readonly source: "header" | "hint" | "content_length";
  readonly bytes: number;
}

export type DeclaredSize = KnownSize | { readonly source: "unknown"; readonly bytes?: never };

export const SIZE_HEADER = "x-openstack-image-size";

/** Glance's own words for a header it cannot read. */
const INVALID_SIZE = "Invalid or missing image size in request headers.";

/**
 * Every size the client declared, in the order in which they count: `x-openstack-image-size`, the hints, `Content-Length`.
 *
 * @throws ProxyError `invalid_size` where a value is not a plain decimal number given once.
 */
export function readDeclaredSizes(
  head: RequestHead,
  announced: AnnouncedBody,
  hints: readonly string[],
): KnownSize[] {
  const sizes = [
    { source: "header" as const, bytes: readSize(head, SIZE_HEADER) },
    ...hints.map((name) => ({ source: "hint" as const, bytes: readSize(head, name) })),
    { source: "content_length" as const, bytes: bodyLength(announced) },
  ];
  return sizes.filter((size): size is KnownSize => size.bytes !== undefined);
}

/**
 * All have to agree with the first.
 *
 * @throws ProxyError `size_exceeded` or `size_mismatch`, worded as Glance words a body of the wrong size.
 */
export function requireAgreement([first, ...others]: readonly KnownSize[]): void {
  for (const { bytes } of others) {
    if (first && bytes > first.bytes) throw sizeExceeded(first.bytes, bytes);
    if (first && bytes < first.bytes) throw sizeMismatch(first.bytes, bytes);
  }
}

/** More bytes than declared, in Glance's words. */
export function sizeExceeded(expected: number, got: number): ProxyError {
  return new ProxyError("size_exceeded", `Size exceeds: expected ${expected} bytes, got ${got} bytes`);
}

/** Fewer bytes than declared, in Glance's words. */
export function sizeMismatch(expected: number, got: number): ProxyError {
  return new ProxyError("size_mismatch", `Size mismatch: expected ${expected} bytes, got ${got} bytes`);
}

/** `limits.maxImageSize` passed. */
export function tooLarge(bytes: number, maxBytes: number): ProxyError {
  return new ProxyError(
    "too_large",
    `The incoming image is too large: ${bytes} bytes. The maximum is ${maxBytes} bytes.`,
  );
}

/** What HTTP itself says of the body: without any framing it is empty (RFC 9112, section 6.3). */
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

/** Name and value are for the log, which shows the cause; the client reads Glance's words alone. */
function invalidSize(name: string, value: string): ProxyError {
  return new ProxyError("invalid_size", INVALID_SIZE, {
    cause: new Error(`${name}: ${JSON.stringify(value)}`),
  });
}

/** Digits only. Glance itself also takes `+5` and `1_000`; two readers could then disagree. */
function parseImageSize(value: string): number | undefined {
  const bytes = /^[0-9]{1,16}$/.test(value) ? Number(value) : Number.NaN;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
