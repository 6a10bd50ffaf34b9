/** What is measured: each way to Glance with each body that makes a difference there. */
import type { Body } from "../upload.js";

export type Way = "direct" | "proxy" | "proxy, spool" | "nginx, buffering";

export interface Cell {
  readonly way: Way;
  readonly body: Body;
  /** Whether Glance learns the size before the first byte. */
  readonly sized: boolean;
}

/** What everything is compared with: the best that Glance can do. */
export const BASELINE: Cell = { way: "direct", body: "Content-Length", sized: true };
export const DIRECT_CHUNKED: Cell = { way: "direct", body: "chunked", sized: false };
export const ANNOUNCED: Cell = { way: "proxy", body: "chunked, size in a header", sized: true };
export const SPOOLED: Cell = { way: "proxy, spool", body: "chunked", sized: true };
export const NGINX: Cell = { way: "nginx, buffering", body: "chunked", sized: true };

/**
 * Left out are those that cannot differ from one of these: a spooling proxy forwards a body whose size it knows, and
 * nginx buffers every body alike and knows no header.
 */
export const CELLS: readonly Cell[] = [
  BASELINE,
  DIRECT_CHUNKED,
  { way: "direct", body: "chunked, size in a header", sized: false },
  { way: "proxy", body: "Content-Length", sized: true },
  ANNOUNCED,
  SPOOLED,
  NGINX,
  { way: "proxy", body: "chunked", sized: false },
];
