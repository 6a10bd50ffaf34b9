/**
 * Answering a client that is still sending. Closing at once would reset the connection, and the client would see a broken
 * pipe in place of the answer. So the answer is written, then what still comes is read and discarded, within bounds, and
 * only then is the connection closed (nginx's `lingering_close` is the model).
 */
import type { ServerResponse } from "node:http";
import { createTimer } from "../http/timer.js";
import type { Body } from "../http/body.js";

export interface LingerBounds {
  /** Longest time in all, milliseconds. */
  readonly totalMs: number;
  /** Longest time without a byte, milliseconds. */
  readonly idleMs: number;
  /** How many may linger that long at once. */
  readonly capacity: number;
  /** Longest time in all for one over the capacity, milliseconds. */
  readonly crowdedMs: number;
}

export const LINGER: LingerBounds = Object.freeze({
  totalMs: 30_000,
  idleMs: 5_000,
  capacity: 1_000,
  crowdedMs: 1_000,
});

/** Ends an answer that is already written, but not ended, once the client has ended its request. */
export type Linger = (body: Body, response: ServerResponse) => void;

export function createLinger(bounds: LingerBounds = LINGER): Linger {
  let lingering = 0;
  return (body, response) => {
    lingering += 1;
    const total = createTimer(lingering > bounds.capacity ? bounds.crowdedMs : bounds.totalMs, stop);
    const idle = createTimer(bounds.idleMs, stop);
    total.start();
    idle.start();
    body.on("data", onData).on("malformed", onMalformed).once("end", stop).once("close", stop);
    const { socket } = response;
    socket?.once("end", stop); // the client has closed its side: nothing more can come
    response.once("close", stop);
    body.renew?.();
    body.resume();
    // Ended, closed by the client, or gone: none of these events will come again.
    if (body.destroyed || socket?.readableEnded || (body.complete && body.readableEnded)) stop();

    function onMalformed(): void {
      idle.start();
    }
    function onData(): void {
      idle.start();
    }
    function stop(): void {
      // FIN first, in every case: what the client still sends after the bounds may be lost, the answer not.
      if (!response.writableEnded) response.end();
      if (!body.complete) response.socket?.destroySoon();
      total.stop();
      idle.stop();
      body.off("data", onData).off("malformed", onMalformed).off("end", stop).off("close", stop);
      response.off("close", stop);
      socket?.off("end", stop);
      lingering -= 1;
      body.resume();
    }
  };
}
