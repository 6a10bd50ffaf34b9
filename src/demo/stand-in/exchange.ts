/** One request to the stand-in Glance, and the ways in which Glance answers. */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { glanceError, reasonPhrase } from "../../glance/error-body.js";
import { INTERNAL_ERROR, Refusal } from "./images.js";

export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The client waits for a 100 that it has not got. */
  awaitsContinue: boolean;
  /** Set while a body is read: the connection broke, or the client said FIN too early. */
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
  // The client may send its body now or never: only the end of the connection settles that.
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

/** What Node's parser could not read: no request to answer, only a socket. */
export function answerMalformed(socket: Duplex): void {
  if (socket.writable)
    socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  else socket.destroy();
}

/** @throws Refusal 415. Glance looks at this before it looks for the image. */
export function requireOctetStream(request: IncomingMessage): void {
  const type = (request.headers["content-type"] ?? "").split(";")[0]?.trim() ?? "";
  if (type === "application/octet-stream") return;
  // eventlet's words: a missing type counts as text/plain there.
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

/** The answer to `/` and `/versions`: links lead to the host that the client asked. */
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

/** As Glance behind Keystone: the client's own, with the prefix it must have. */
function requestId(request: IncomingMessage): string {
  const given = request.headers["x-openstack-request-id"];
  if (typeof given !== "string" || given === "") return `req-${randomUUID()}`;
  return given.startsWith("req-") ? given : `req-${given}`;
}
