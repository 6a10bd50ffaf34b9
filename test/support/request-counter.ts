/** Stands between Glance and the HTTP service that it stores in, passes everything on, and remembers what was asked. */
import { once } from "node:events";
import { createServer, request as startRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream";

export interface CountedRequest {
  readonly method: string;
  /** With its query. */
  readonly target: string;
  /** Undefined until the service has answered. */
  readonly status: number | undefined;
  /** Of the body of a POST, up to some KB: it says which action is meant. */
  readonly text: string;
}

export interface RequestCounter {
  readonly port: number;
  /** In the order in which they began. */
  readonly requests: readonly CountedRequest[];
  stop(): void;
}

const KEPT_BYTES = 4_096;

export async function startRequestCounter(port: number): Promise<RequestCounter> {
  const requests: { method: string; target: string; status: number | undefined; text: string }[] = [];
  const server = createServer((incoming, response) => {
    const { method = "", url: target = "" } = incoming;
    const counted = { method, target, status: undefined as number | undefined, text: "" };
    requests.push(counted);
    const { expect: _, ...headers } = incoming.headers; // Node has answered it
    const outgoing = startRequest({ host: "127.0.0.1", port, method, path: target, headers, agent: false });
    if (method === "POST") {
      incoming.on("data", (piece: Buffer) => {
        if (counted.text.length < KEPT_BYTES) counted.text += piece.toString("latin1");
      });
    }
    outgoing.once("response", (answer) => {
      counted.status = answer.statusCode;
      response.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
      pipeline(answer, response, () => undefined);
    });
    // Whichever side goes away first, the other must see that it did.
    pipeline(incoming, outgoing, (error) => {
      if (error && !response.headersSent) response.destroy();
    });
  });
  server.requestTimeout = 0;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}
