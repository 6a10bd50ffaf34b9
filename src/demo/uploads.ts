/** The uploads of the demonstration, and how each has to end. */

/** Bytes of the image. */
export const SIZE = 1_000_000;

export interface DemoUpload {
  readonly name: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bodyBytes: number;
  /** Through a second proxy, whose `size.unknown` is `spool`. */
  readonly spooled?: true;
  /** What a Glance that knows nothing of the header makes of it. */
  readonly direct: string;
  /** What the proxy makes of it. */
  readonly proxied: string;
}

const declared = { "x-openstack-image-size": String(SIZE) };
const active = (bytes: number, size: "known" | "unknown"): string =>
  `204, active with ${bytes} bytes, size ${size}`;

export const UPLOADS: readonly DemoUpload[] = [
  {
    name: "exact size",
    headers: declared,
    bodyBytes: SIZE,
    direct: active(SIZE, "unknown"),
    proxied: active(SIZE, "known"),
  },
  {
    name: "one byte too long",
    headers: declared,
    bodyBytes: SIZE + 1,
    direct: active(SIZE + 1, "unknown"),
    proxied: `400 Size exceeds: expected ${SIZE} bytes, got ${SIZE + 1} bytes, queued`,
  },
  {
    name: "one byte too short",
    headers: declared,
    bodyBytes: SIZE - 1,
    direct: active(SIZE - 1, "unknown"),
    proxied: `400 Size mismatch: expected ${SIZE} bytes, got ${SIZE - 1} bytes, queued`,
  },
  {
    name: "size in another header (upload-length)",
    headers: { "upload-length": String(SIZE) },
    bodyBytes: SIZE,
    direct: active(SIZE, "unknown"),
    proxied: active(SIZE, "known"),
  },
  {
    name: "size is not a number (8M)",
    headers: { "x-openstack-image-size": "8M" },
    bodyBytes: SIZE,
    direct: active(SIZE, "unknown"),
    proxied: "400 Invalid or missing image size in request headers., queued",
  },
  {
    name: "no size",
    headers: {},
    bodyBytes: SIZE,
    direct: active(SIZE, "unknown"),
    proxied: active(SIZE, "unknown"),
  },
  {
    name: "no size, spooled by the proxy",
    headers: {},
    bodyBytes: SIZE,
    spooled: true,
    direct: active(SIZE, "unknown"),
    proxied: active(SIZE, "known"),
  },
];
