/**
 * Pipelining: a client may send requests without waiting for answers. Node hands them over at once, but gives only the first
 * answer a connection; what the others wait for, nobody would tell them. So each begins when the one before it is over.
 */
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { RequestHandler } from "express";

/** Nothing is written for a request that waits, so nothing else would hold back a client that sends on and on. */
const MAX_WAITING = 100;

export function createOneAtATime(): RequestHandler {
  const connections = new WeakMap<Socket, { latest: ServerResponse; waiting: number }>();
  return (request, response, next) => {
    const { socket } = request;
    const connection = connections.get(socket) ?? { latest: response, waiting: 0 };
    const before = connection.latest;
    connection.latest = response;
    connections.set(socket, connection);
    const begin = (): void => {
      // Not `destroyed`: a connection that is to close after the answer before is so only a moment later.
      if (socket.writable) next();
    };
    if (before === response || before.writableFinished) return begin();
    connection.waiting += 1;
    if (connection.waiting > MAX_WAITING) return void socket.destroy();
    before.once("close", () => {
      connection.waiting -= 1;
      begin();
    });
  };
}
