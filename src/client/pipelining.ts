/**
 * Pipelining: a client may send requests without waiting for answers. Node emits all of them at once, but only the first response has a
 * connection. So each request starts when the one before it is finished.
 */
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { RequestHandler } from "express";

/** Maximum number of waiting requests. Nothing else limits a client that sends more and more. */
const MAX_WAITING = 100;

export function createOneAtATime(): RequestHandler {
  const connections = new WeakMap<Socket, { latest: ServerResponse; waiting: number }>();
  return (request, response, next) => {
    const { socket } = request;
    const connection = connections.get(socket) ?? { latest: response, waiting: 0 };
    const before = connection.latest;
    connection.latest = response;
    connections.set(socket, connection);
    // Otherwise the response, and the connection with it, stay in memory until a full garbage collection: until then, V8 keeps all values
    // of a WeakMap, also those of keys that nobody else refers to.
    response.once("close", () => {
      if (connection.latest === response) connections.delete(socket);
    });
    const begin = (): void => {
      // `destroyed` is set too late if the connection closes after the previous answer.
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
