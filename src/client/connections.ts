/** Tracks which connections of a server have a request in progress. Node does not tell. */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { Server as HttpsServer } from "node:https";
import type { Socket } from "node:net";
import { Members } from "../http/members.js";

interface Served {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

export interface Connections {
  /** The last unanswered request of a connection. */
  served(socket: Socket): Served | undefined;
  /** The first unanswered request: with pipelining, it is answered first. */
  first(socket: Socket): Served | undefined;
  /** Whether a connection can carry requests; under TLS, after its handshake. */
  isOpen(socket: Socket): boolean;
  /** From now on, a connection ends with its answer. If the head of an answer has been sent, the next answer is the last one. */
  endWithAnswers(): void;
  /** Closes connections without a request in progress: idle ones, and those without a complete head. */
  closeUnserved(): void;
}

export function trackConnections(server: Server): Connections {
  const sockets = new Members<Socket>();
  const serving = new WeakMap<Socket, Served[]>();
  let isEnding = false;
  // Under TLS, requests arrive on another object than the connection. A TLS handshake has its own timeout.
  server.on(server instanceof HttpsServer ? "secureConnection" : "connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  for (const event of ["request", "checkContinue", "checkExpectation"] as const) {
    server.prependListener(event, (request: IncomingMessage, response: ServerResponse) => {
      if (isEnding) response.shouldKeepAlive = false;
      const { socket } = request;
      const all = serving.get(socket) ?? [];
      const served = { request, response };
      all.push(served);
      serving.set(socket, all);
      response.once("close", () => {
        all.splice(all.indexOf(served), 1);
        if (all.length === 0) serving.delete(socket);
      });
    });
  }
  return {
    served: (socket) => serving.get(socket)?.at(-1),
    first: (socket) => serving.get(socket)?.[0],
    isOpen: (socket) => sockets.has(socket),
    endWithAnswers() {
      isEnding = true;
      for (const socket of sockets)
        for (const { response } of serving.get(socket) ?? []) response.shouldKeepAlive = false;
    },
    closeUnserved() {
      for (const socket of sockets) if (!serving.has(socket)) socket.destroySoon();
    },
  };
}
