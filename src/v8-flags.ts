/** Settings of V8, for a process that runs the proxy and nothing else. */
import { setFlagsFromString } from "node:v8";

/**
 * Each connection leaves the 64 KiB behind into which Node has read its head, and V8 counts them as part of its heap. As that is small,
 * V8 would collect all garbage after about 130 connections, although young garbage alone would do. Measured: a tenth of the CPU time of
 * uploads of 1 MiB. With this, it begins when the heap has used 80 % of the room up to its limit. The limit stays as it is.
 *
 * V8 reads the flag each time, so it can be set now. If a V8 does not know it, V8 says so on standard error, and goes on.
 */
export function deferFullCollections(): void {
  setFlagsFromString("--incremental-marking-soft-trigger=80");
}
