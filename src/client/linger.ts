/**
 * Answers a client that is still sending. If the connection was closed at once, the kernel would reset it and the client would not
 * read the answer. So the answer is written, then the rest of the request is discarded for a limited time, and then the connection is
 * closed, like nginx's `lingering_close`.
 */
import type { ServerResponse } from "node:http";
import type { Body } from "../http/body.js";
import { createTimer } from "../http/timer.js";

export interface LingerBounds {
  /** Maximum total time, milliseconds. */
  readonly totalMs: number;
  /** Maximum time without a byte, milliseconds. */
  readonly idleMs: number;
  /** Maximum number of connections that may take the total time. */
  readonly capacity: number;
  /** Maximum total time of connections above the capacity, milliseconds. */
  readonly crowdedMs: number;
}

export const LINGER: LingerBounds = Object.freeze({
  totalMs: 30_000,
  idleMs: 5_000,
  capacity: 1_000,
  crowdedMs: 1_000,
});

/** Ends a written answer when the client has ended its request. */
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
    socket?.once("end", stop); // the client has closed its sending side
    response.once("close", stop);
    body.stopReusing?.();
    body.resume();
    // Already ended, half-closed or destroyed: no event follows.
    if (body.destroyed || socket?.readableEnded || (body.complete && body.readableEnded)) stop();

    function onMalformed(): void {
      idle.start();
    }
    function onData(): void {
      idle.start();
    }
    function stop(): void {
      // FIN first: bytes that the client sends after this may be lost, but not the answer.
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
