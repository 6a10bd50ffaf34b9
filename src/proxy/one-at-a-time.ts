/**
 * Pipelining: a client may send requests without waiting for answers. Node hands them over at once, but gives only the first
 * answer a connection; what the others wait for, nobody would tell them. So each begins when the one before it is over.
 */
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { RequestHandler } from "express";

export function createOneAtATime(): RequestHandler {
  const latest = new WeakMap<Socket, ServerResponse>();
  return (request, response, next) => {
    const { socket } = request;
    const before = latest.get(socket);
    latest.set(socket, response);
    if (!before || before.writableFinished) return next();
    before.once("close", () => {
      // Not `destroyed`: a connection that is to close after the answer before is so only a moment later.
      if (socket.writable) next();
    });
  };
}
