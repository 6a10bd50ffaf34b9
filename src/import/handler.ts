/** `POST /v2/images/{id}/import`: passed on as it is, and counted by the method its body names. */
import type { IncomingMessage } from "node:http";
import type { Metrics } from "../observe/metrics.js";
import type { Exchange } from "../proxy/exchange.js";
import type { PassThrough } from "../proxy/pass-through.js";

/** An import request is a few hundred bytes; a larger body is not looked into. */
const MAX_BODY_BYTES = 64 * 1024;

export function createImportHandler(passThrough: PassThrough, metrics: Metrics): PassThrough {
  return (exchange: Exchange, path: string) => {
    const passed = passThrough(exchange, path);
    // Listens beside http-proxy's own pipe, which keeps deciding when the body flows.
    observeBody(exchange.request, (body) => metrics.importRequested(methodOf(body)));
    return passed;
  };
}

function observeBody(request: IncomingMessage, onEnd: (body: string) => void): void {
  const pieces: Buffer[] = [];
  let bytes = 0;
  request.on("data", (piece: Buffer) => {
    bytes += piece.length;
    if (bytes <= MAX_BODY_BYTES) pieces.push(piece);
  });
  request.once("end", () => onEnd(bytes <= MAX_BODY_BYTES ? Buffer.concat(pieces).toString() : ""));
}

function methodOf(body: string): string {
  try {
    const { method } = JSON.parse(body) as { method?: { name?: unknown } };
    return typeof method?.name === "string" ? method.name : "";
  } catch {
    return ""; // Glance will say so
  }
}
