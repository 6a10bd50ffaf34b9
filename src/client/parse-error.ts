/** Answers requests that Node's parser refuses (TE with CL, folded headers, bare LF) in Glance's format. */
import type { IncomingMessage, Server } from "node:http";
import type { Socket } from "node:net";
import { glanceError, reasonPhrase } from "../glance/error-body.js";
import { proxyStatus } from "../http/proxy-status.js";
import { requestIdOf } from "../http/request-id.js";
import type { Connections } from "./connections.js";

/** A request that was answered without being read. */
export interface UnreadableRequest {
  readonly requestId: string;
  readonly status: number;
  readonly reason: string;
  readonly peer: string | undefined;
}

/** Sets `Body.malformed` of a request that Node parses. */
type MalformedRequest = IncomingMessage & { malformed?: boolean };

export function answerParseErrors(
  server: Server,
  connections: Connections,
  onAnswered: (request: UnreadableRequest) => void,
): void {
  /** Connections that close after the answer in progress. Node emits an error for each further read. */
  const closing = new WeakSet<Socket>();
  server.on("clientError", (error: NodeJS.ErrnoException, stream) => {
    const socket = stream as Socket;
    const served = connections.served(socket);
    if (error.code === "ECONNRESET" || !socket.writable || !connections.isOpen(socket)) {
      socket.destroy(); // disconnected, or still in the TLS handshake, where no answer can be sent
    } else if (served === undefined) {
      onAnswered(answer(socket, error.code));
    } else if (served.request.complete) {
      // Invalid bytes after a complete request: that request still gets its answer, and nothing more is read.
      if (closing.has(socket)) return;
      closing.add(socket);
      served.response.once("close", () => socket.destroySoon());
    } else if (socket.readableEnded && connections.first(socket) !== served) {
      // The client has closed its sending side in the middle of a later request. The earlier ones still get their answers.
      connections.first(socket)?.response.once("close", () => socket.destroySoon());
    } else if (socket.readableEnded) {
      // The client has closed its sending side. A body that was taken over from the parser may be complete. If not, nothing becomes of
      // the request, but an answer that is already written still goes out.
      if (!served.request.emit("halfClosed")) socket.destroySoon();
    } else {
      const request: MalformedRequest = served.request;
      request.malformed = true;
      request.emit("malformed"); // the reader of the body answers
    }
  });
}

function answer(socket: Socket, code: string | undefined): UnreadableRequest {
  const [status, explanation] = describe(code);
  const requestId = requestIdOf(undefined);
  const peer = socket.remoteAddress;
  const { contentType, body } = glanceError(status, explanation, undefined);
  socket.write(
    `HTTP/1.1 ${status} ${reasonPhrase(status)}\r\nConnection: close\r\nContent-Type: ${contentType}\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nProxy-Status: ${proxyStatus(explanation, "http_request_error")}\r\nX-Openstack-Request-Id: ${requestId}\r\n\r\n${body}`,
  );
  socket.destroySoon();
  return { requestId, status, reason: explanation, peer };
}

function describe(code: string | undefined): [status: number, explanation: string] {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return [431, "The request head is larger than this server accepts (limits.maxHeaderSize)."];
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return [408, "The request head did not arrive in time."];
    default:
      return [400, "The request is not valid HTTP."];
  }
}
