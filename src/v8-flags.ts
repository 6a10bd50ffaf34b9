/** Settings of V8, for a process that runs the proxy and nothing else. */
import { setFlagsFromString } from "node:v8";

/** A test checks that V8 knows it: V8 removes such flags without notice. */
export const FLAG = "--incremental-marking-soft-trigger=80";

/**
 * Node reads the head of each connection into 64 KiB of new memory, which V8 counts as part of its heap. The heap is small, so V8 would
 * start a full garbage collection after about 130 connections, although it is enough to collect young garbage. Measured: full collections
 * took a tenth of the CPU time of uploads of 1 MiB. With this flag, a full collection starts when the heap has used 80 % of the room up to
 * its limit. The limit does not change.
 *
 * V8 reads this flag again and again, so it can be set in a running process. A V8 that does not know the flag prints an error and continues.
 */
export function deferFullCollections(): void {
  setFlagsFromString(FLAG);
}
