/**
 * Pipelining: a client may send requests without waiting for answers. Node emits all of them at once, but only the first response has a
 * connection. So each request starts when the one before it is finished.
 */
import type { Socket } from "node:net";
import type { RequestHandler } from "express";

/** Maximum number of waiting requests. Nothing else limits a client that sends more and more. */
const MAX_WAITING = 100;

export function createOneAtATime(): RequestHandler {
  /**
   * For each connection with a request in progress: what starts the requests that wait. The entry is deleted after the last request,
   * because V8 keeps the values of a WeakMap, and all that they refer to, until a full garbage collection.
   */
  const queues = new WeakMap<Socket, (() => void)[]>();

  function startNext(socket: Socket): void {
    const start = queues.get(socket)?.shift();
    if (start) start();
    else queues.delete(socket);
  }

  return ({ socket }, response, next) => {
    const start = (): void => {
      // Middleware has destroyed the response while the request waited. The requests behind it must not be answered in its place.
      if (socket.writable && response.destroyed) socket.destroy();
      // `destroyed` is set too late if the connection closes after the previous answer.
      if (!socket.writable) return void queues.delete(socket);
      response.once("close", () => startNext(socket));
      next();
    };
    const queue = queues.get(socket);
    if (queue === undefined) {
      queues.set(socket, []);
      return start();
    }
    if (queue.length === MAX_WAITING) return void socket.destroy();
    queue.push(start);
  };
}
