/** The uploads of the demonstration, with their expected results. */

/** Size of an image, bytes. */
export const SIZE_BYTES = 1_000_000;
/** `spool.maxPerUpload` of the demonstration. */
export const MAX_SPOOLED_BYTES = 16 * 1024 * 1024;
/** Size of the image that the proxy does not spool. */
const LARGE_BYTES = 20_000_000;

export interface DemoUpload {
  readonly name: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bodyBytes: number;
  /** Expected result without the proxy: this Glance ignores the size header. */
  readonly direct: string;
  /** Expected result through the proxy. */
  readonly proxied: string;
}

const declared = { "x-openstack-image-size": String(SIZE_BYTES) };
const active = (bytes: number, size: "known" | "unknown"): string =>
  `204, active with ${bytes} bytes, size ${size}`;

export const UPLOADS: readonly DemoUpload[] = [
  {
    name: "exact size",
    headers: declared,
    bodyBytes: SIZE_BYTES,
    direct: active(SIZE_BYTES, "unknown"),
    proxied: active(SIZE_BYTES, "known"),
  },
  {
    name: "one byte too long",
    headers: declared,
    bodyBytes: SIZE_BYTES + 1,
    direct: active(SIZE_BYTES + 1, "unknown"),
    proxied: `400 Size exceeds: expected ${SIZE_BYTES} bytes, got ${SIZE_BYTES + 1} bytes, queued`,
  },
  {
    name: "one byte too short",
    headers: declared,
    bodyBytes: SIZE_BYTES - 1,
    direct: active(SIZE_BYTES - 1, "unknown"),
    proxied: `400 Size mismatch: expected ${SIZE_BYTES} bytes, got ${SIZE_BYTES - 1} bytes, queued`,
  },
  {
    name: "size in another header (upload-length)",
    headers: { "upload-length": String(SIZE_BYTES) },
    bodyBytes: SIZE_BYTES,
    direct: active(SIZE_BYTES, "unknown"),
    proxied: active(SIZE_BYTES, "known"),
  },
  {
    name: "size is not a number (8M)",
    headers: { "x-openstack-image-size": "8M" },
    bodyBytes: SIZE_BYTES,
    direct: active(SIZE_BYTES, "unknown"),
    proxied: "400 Invalid or missing image size in request headers., queued",
  },
  {
    name: "no size, spooled by the proxy",
    headers: {},
    bodyBytes: SIZE_BYTES,
    direct: active(SIZE_BYTES, "unknown"),
    proxied: active(SIZE_BYTES, "known"),
  },
  {
    name: `no size, ${LARGE_BYTES} bytes: too large to spool`,
    headers: {},
    bodyBytes: LARGE_BYTES,
    direct: active(LARGE_BYTES, "unknown"),
    proxied: active(LARGE_BYTES, "unknown"),
  },
];
