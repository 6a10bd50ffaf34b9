/**
 * Tells when Glance was last active: it sent a byte, or accepted a byte of a request's body. Byte counts of open connections are compared
 * on each question and when a connection closes, so nothing is done per byte.
 */
import type { Socket } from "node:net";
import { Members } from "../http/members.js";

export interface Activity {
  /** @param connection to Glance; watched until it closes. */
  watch(connection: Socket): void;
  /** @returns the time of the last activity, by `performance.now()`; -Infinity if there was none. */
  lastAt(): number;
}

interface Watched {
  readonly connection: Socket;
  read: number;
  taken: number;
}

export function createActivity(): Activity {
  const open = new Members<Watched>();
  let lastAt = -Infinity;

  function compare(last: Watched): void {
    const { connection } = last;
    const read = connection.bytesRead;
    const taken = connection.bytesWritten - connection.writableLength;
    // The kernel takes a request's head, and some megabytes of its body, for a Glance that has stopped. What a connection took
    // before its first comparison proves nothing.
    const movedOn = last.taken > 0 && taken > last.taken;
    if (read > last.read || movedOn) lastAt = performance.now();
    last.read = read;
    last.taken = taken;
  }

  return {
    watch(connection) {
      const watched = { connection, read: 0, taken: 0 };
      open.add(watched);
      connection.once("close", () => {
        open.delete(watched);
        if (connection.bytesRead > watched.read) lastAt = performance.now();
      });
    },

    lastAt() {
      for (const watched of open) compare(watched);
      return lastAt;
    },
  };
}
