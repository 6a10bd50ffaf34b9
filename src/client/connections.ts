/** Which connections of a server have a request being served; Node tells nobody. */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { Server as HttpsServer } from "node:https";
import type { Socket } from "node:net";

interface Served {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

export interface Connections {
  /** What has come last on a connection, and is not answered yet. */
  served(socket: Socket): Served | undefined;
  /** What came first: with pipelining it is answered before. */
  first(socket: Socket): Served | undefined;
  /** Whether a connection is open for requests: under TLS, its handshake done. */
  isOpen(socket: Socket): boolean;
  /** Closes those on which nothing is being served: idle ones, and such as have not sent a whole head. */
  closeUnserved(): void;
}

export function trackConnections(server: Server): Connections {
  const sockets = new Set<Socket>();
  const serving = new WeakMap<Socket, Served[]>();
  // Under TLS requests come on another object than the connection; one that is still shaking hands has a timeout of its own.
  server.on(server instanceof HttpsServer ? "secureConnection" : "connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  for (const event of ["request", "checkContinue", "checkExpectation"] as const) {
    server.prependListener(event, (request: IncomingMessage, response: ServerResponse) => {
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
    closeUnserved() {
      for (const socket of sockets) if (!serving.has(socket)) socket.destroySoon();
    },
  };
}
