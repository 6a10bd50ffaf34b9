/**
 * A Glance that refuses an upload answers and closes at once, with body bytes unread: the kernel then resets the connection. What was
 * received before the reset can still be read, but Node destroys a socket as soon as a write fails. So a failed write is reported
 * only when the reading side has ended, and the answer is read first.
 */
import type { Duplex } from "node:stream";
import { interceptWrites, type WriteCallback } from "./intercept-writes.js";

/** For a reading side that gives nothing and does not end either. */
const PATIENCE_MS = 1_000;

export function reportWriteErrorsLate<Connection extends Duplex>(connection: Connection): Connection {
  return interceptWrites(connection, { report: (callback) => late(connection, callback) });
}

function late(connection: Duplex, callback: WriteCallback): WriteCallback {
  return (error) => {
    if (!isReset(error) || connection.readableEnded || connection.destroyed) return callback(error);
    let bytesRead = bytesReadOf(connection);
    const report = (): void => {
      clearTimeout(timer);
      connection.off("end", report).off("close", report);
      callback(error);
    };
    const timer = setTimeout(() => {
      // What is paused waits for a client that reads slowly, and has a time limit of its own.
      if (bytesReadOf(connection) === bytesRead && !connection.isPaused()) return report();
      bytesRead = bytesReadOf(connection); // the answer is on its way
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
