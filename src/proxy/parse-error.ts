/** Requests that Node's parser refuses (TE with CL, folded headers, bare LF ...): answered in Glance's shape. */
import type { Server } from "node:http";
import type { Socket } from "node:net";
import { randomUUID } from "node:crypto";
import { glanceError, reasonPhrase } from "../glance/error-body.js";

/**
 * @param isBusy whether a request is being served on a connection: an answer of ours could land in the middle of its
 *   answer, so such a connection is only closed.
 */
export function answerParseErrors(server: Server, isBusy: (socket: Socket) => boolean): void {
  server.on("clientError", (error: NodeJS.ErrnoException, stream) => {
    const socket = stream as Socket;
    if (error.code === "ECONNRESET" || !socket.writable || isBusy(socket)) return void socket.destroy();
    const [status, explanation] = describe(error.code);
    const { contentType, body } = glanceError(status, explanation, undefined);
    socket.end(
      `HTTP/1.1 ${status} ${reasonPhrase(status)}\r\nConnection: close\r\nContent-Type: ${contentType}\r\n` +
        `Content-Length: ${Buffer.byteLength(body)}\r\nX-Openstack-Request-Id: req-${randomUUID()}\r\n\r\n${body}`,
      () => socket.destroySoon(),
    );
  });
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
