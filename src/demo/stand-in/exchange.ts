/** One request to the stand-in Glance, and Glance's kinds of answer. */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { glanceError, reasonPhrase } from "../../glance/error-body.js";
import { INTERNAL_ERROR, Refusal } from "./images.js";

export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Whether the client still waits for `100 Continue`. */
  awaitsContinue: boolean;
  /** Called if the connection breaks or the client sends FIN too early. Set while a body is read. */
  onBroken: (() => void) | undefined;
}

const MAX_JSON_BYTES = 1024 * 1024;
const MINOR_VERSIONS = [15, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0];

export function brokenUpload(): Refusal {
  return new Refusal(500, INTERNAL_ERROR);
}

export function answer(
  exchange: Exchange,
  status: number,
  body?: Buffer,
  headers: Record<string, string> = {},
): void {
  const { request, response } = exchange;
  // The client may or may not send its body now, so the next bytes can be a body or a request. Close the connection.
  if (exchange.awaitsContinue) response.setHeader("Connection", "close");
  response.writeHead(status, reasonPhrase(status), {
    "X-Openstack-Request-Id": requestId(request),
    ...headers,
    ...(body && status !== 204 ? { "Content-Length": body.length } : {}),
  });
  response.end(body);
}

export function answerJson(
  exchange: Exchange,
  status: number,
  value: unknown,
  headers: Record<string, string> = {},
): void {
  const body = Buffer.from(JSON.stringify(value));
  answer(exchange, status, body, { "Content-Type": "application/json", ...headers });
}

export function answerError(exchange: Exchange, error: unknown): void {
  if (exchange.response.headersSent) {
    exchange.response.destroy();
    return;
  }
  const refusal = error instanceof Refusal ? error : new Refusal(500, INTERNAL_ERROR);
  const { contentType, body } = glanceError(refusal.status, refusal.message, exchange.request.headers.accept);
  answer(exchange, refusal.status, Buffer.from(body), { "Content-Type": contentType });
}

/** Answers bytes that Node's parser refused: there is no request object, only a socket. */
export function answerMalformed(socket: Duplex): void {
  if (socket.writable)
    socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  else socket.destroy();
}

/** @throws Refusal 415. Glance checks the media type before it looks for the image. */
export function requireOctetStream(request: IncomingMessage): void {
  const type = (request.headers["content-type"] ?? "").split(";")[0]?.trim() ?? "";
  if (type === "application/octet-stream") return;
  // The text is eventlet's, which treats a missing type as text/plain.
  const named = type === "" ? "text/plain" : type;
  throw new Refusal(415, `The request media type ${named} is not supported by this server.`);
}

/** @throws Refusal 400 */
export async function readJson(exchange: Exchange): Promise<unknown> {
  if (exchange.awaitsContinue) {
    exchange.awaitsContinue = false;
    exchange.response.writeContinue();
  }
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  for await (const piece of exchange.request as AsyncIterable<Buffer>) {
    sizeBytes += piece.length;
    if (sizeBytes > MAX_JSON_BYTES)
      throw new Refusal(413, "The body of your request was too large for this server.");
    pieces.push(piece);
  }
  if (sizeBytes === 0) throw new Refusal(400, "Body expected in request.");
  try {
    return JSON.parse(Buffer.concat(pieces).toString()) as unknown;
  } catch {
    throw new Refusal(400, "Malformed JSON in request body.");
  }
}

/** The answer to `/` and `/versions`. Its links have the `Host` of the request. */
export function versions(request: IncomingMessage): unknown {
  const href = `http://${request.headers.host ?? "localhost"}/v2/`;
  return {
    versions: MINOR_VERSIONS.map((minor, index) => ({
      id: `v2.${minor}`,
      status: index === 0 ? "CURRENT" : "SUPPORTED",
      links: [{ rel: "self", href }],
    })),
  };
}

/** As Glance with Keystone's pipeline: the client's id, with the prefix `req-` added if it is missing. */
function requestId(request: IncomingMessage): string {
  const given = request.headers["x-openstack-request-id"];
  if (typeof given !== "string" || given === "") return `req-${randomUUID()}`;
  return given.startsWith("req-") ? given : `req-${given}`;
}
