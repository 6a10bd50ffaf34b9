/**
 * If Glance refuses an upload, it answers and closes the connection without reading the body, so the kernel resets the connection. The
 * answer can still be read, but Node destroys a socket as soon as a write fails. So this reports a failed write only after the reading
 * side has ended.
 */
import type { Duplex } from "node:stream";
import { interceptWrites, type WriteCallback } from "./intercept-writes.js";

/** Maximum time without data on the reading side. */
const PATIENCE_MS = 1_000;

export function reportWriteErrorsLate<Connection extends Duplex>(connection: Connection): Connection {
  return interceptWrites<Connection>(connection, { report: reportLate });
}

/** Wraps the callback of a write. */
export function reportLate(connection: Duplex, callback: WriteCallback): WriteCallback {
  return (error) => {
    if (!isReset(error) || connection.readableEnded || connection.destroyed) return callback(error);
    let bytesRead = bytesReadOf(connection);
    const report = (): void => {
      clearTimeout(timer);
      connection.off("end", report).off("close", report);
      callback(error);
    };
    const timer = setTimeout(() => {
      // A paused connection waits for a slow client, which has its own time limit.
      if (bytesReadOf(connection) === bytesRead && !connection.isPaused()) return report();
      bytesRead = bytesReadOf(connection); // the answer is arriving
      timer.refresh();
    }, PATIENCE_MS);
    connection.once("end", report).once("close", report);
  };
}

function bytesReadOf(connection: Duplex): number | undefined {
  return (connection as { readonly bytesRead?: number }).bytesRead;
}

function isReset(error: NodeJS.ErrnoException | null | undefined): boolean {
  return error?.code === "ECONNRESET" || error?.code === "EPIPE";
}
