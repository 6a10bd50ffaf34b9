/** Learning the size of an upload from its head. Pure. */
import { ProxyError } from "../proxy-error.js";
import { parseContentLength, type RequestHead } from "../proxy/request-head.js";

/** Where a size was learned; a label of the metrics. */
export type SizeSource = "header" | "hint" | "content_length" | "spooled" | "unknown";

export type DeclaredSize =
  | { readonly source: "header" | "hint" | "content_length"; readonly bytes: number }
  | { readonly source: "unknown"; readonly bytes?: never };

export const SIZE_HEADER = "x-openstack-image-size";

/** Glance's own words for a header it cannot read. */
const INVALID_SIZE = "Invalid or missing image size in request headers.";

/**
 * The size the client declared: `x-openstack-image-size`, then the hints, then `Content-Length`. All that are present have
 * to agree.
 *
 * @throws ProxyError `invalid_size` where a value is not a plain decimal number given once; `size_exceeded` or
 *   `size_mismatch` where two sources disagree, worded as Glance words a body of the wrong size.
 */
export function learnDeclaredSize(head: RequestHead, hints: readonly string[]): DeclaredSize {
  const sources = [
    ...[SIZE_HEADER, ...hints].map((name) => ({
      source: name === SIZE_HEADER ? ("header" as const) : ("hint" as const),
      bytes: readSize(head, name, parseImageSize),
    })),
    { source: "content_length" as const, bytes: bodyLength(head) },
  ];
  let declared: DeclaredSize = { source: "unknown" };
  for (const { source, bytes } of sources) {
    if (bytes === undefined) continue;
    if (declared.bytes === undefined) declared = { source, bytes };
    else if (bytes > declared.bytes) throw sizeExceeded(declared.bytes, bytes);
    else if (bytes < declared.bytes) throw sizeMismatch(declared.bytes, bytes);
  }
  return declared;
}

/** More bytes than declared, in Glance's words. */
export function sizeExceeded(expected: number, got: number): ProxyError {
  return new ProxyError("size_exceeded", `Size exceeds: expected ${expected} bytes, got ${got} bytes`);
}

/** Fewer bytes than declared, in Glance's words. */
export function sizeMismatch(expected: number, got: number): ProxyError {
  return new ProxyError("size_mismatch", `Size mismatch: expected ${expected} bytes, got ${got} bytes`);
}

/** What HTTP itself says of the body: without any framing it is empty (RFC 9112, section 6.3). */
function bodyLength(head: RequestHead): number | undefined {
  if (head.values("transfer-encoding").length > 0) return undefined;
  return readSize(head, "content-length", parseContentLength) ?? 0;
}

function readSize(
  head: RequestHead,
  name: string,
  parse: (value: string) => number | undefined,
): number | undefined {
  const [value, ...more] = head.values(name);
  if (value === undefined) return undefined;
  const bytes = more.length === 0 ? parse(value) : undefined;
  if (bytes !== undefined) return bytes;
  // Name and value are for the log, which shows the cause; the client reads Glance's words alone.
  throw new ProxyError("invalid_size", INVALID_SIZE, {
    cause: new Error(`${name}: ${JSON.stringify([value, ...more].join(", "))}`),
  });
}

/** Digits only. Glance itself also takes `+5` and `1_000`; two readers could then disagree. */
function parseImageSize(value: string): number | undefined {
  const bytes = /^[0-9]{1,16}$/.test(value) ? Number(value) : Number.NaN;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
