/** A server in Glance's place that records what reaches it and misbehaves on demand. It stores nothing. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { Server as HttpsServer } from "node:https";
import type { AddressInfo } from "node:net";

export interface RecordedRequest {
  readonly method: string;
  readonly target: string;
  readonly rawHeaders: readonly string[];
  readonly headers: IncomingMessage["headers"];
  /** Body bytes that came, after transfer-decoding. */
  bytes: number;
  /** Whether the message ended as its framing says, so that Glance would take the body for whole. */
  complete: boolean;
  /** Settles when the request is complete or its connection gone. */
  readonly over: Promise<void>;
}

/** What to do with an upload. `accept`: read all, then 204. */
export type UploadScript = (request: IncomingMessage, response: ServerResponse) => void;

export interface RecordingUpstream {
  url: string;
  readonly requests: RecordedRequest[];
  /** The uploads among the requests. */
  readonly uploads: RecordedRequest[];
  onUpload: UploadScript;
  /** What `GET /v2/images/{id}` says. Undefined: as Glance, `saving` or `uploading` while an upload is under way, else `queued`. */
  imageStatus: string | undefined;
  /** The same, once no upload of the image is under way. */
  imageStatusAfterwards: string;
  imageSize: number | null;
  /** Called before it says so. */
  onLookUp: (request: IncomingMessage) => void;
  /** Says it. */
  answerLookUp: (response: ServerResponse, request: IncomingMessage) => void;
  /** For every request that is neither. */
  onOther: UploadScript;
  stop(): Promise<void>;
}

export const accept: UploadScript = (request, response) => {
  request.resume().once("end", () => response.writeHead(204).end());
};

export const resetAtFirstByte: UploadScript = (request) => {
  request.once("data", () => request.socket.resetAndDestroy());
};

/** Refuses without reading the body, as Glance does, and keeps the connection until the proxy closes it. */
export function answerEarly(status: number, body: string): UploadScript {
  return (_request, response) => {
    response.writeHead(status, { "content-type": "text/plain", "content-length": Buffer.byteLength(body) });
    response.end(body);
  };
}

/** @param server listens on loopback unless it listens already; HTTPS or on a Unix socket, for example. */
export async function startRecordingUpstream(server: Server = createServer()): Promise<RecordingUpstream> {
  const requests: RecordedRequest[] = [];
  /** Targets of the uploads that are neither answered nor cut. */
  const underWay = new Map<ServerResponse, string>();
  server.maxHeadersCount = 0; // every line is recorded
  const upstream: RecordingUpstream = {
    url: "",
    requests,
    get uploads() {
      return requests.filter(({ method }) => method === "PUT");
    },
    onUpload: accept,
    imageStatus: undefined,
    imageStatusAfterwards: "queued",
    imageSize: null,
    onLookUp: () => undefined,
    answerLookUp(response, request) {
      const isUnderWay = statusOf(request.url ?? "", [...underWay.values()]);
      const status = upstream.imageStatus ?? isUnderWay ?? upstream.imageStatusAfterwards;
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ status, size: upstream.imageSize }));
    },
    onOther: (request, response) => {
      request.resume().once("end", () => response.end(`${request.method} ${request.url}`));
    },
    async stop() {
      if (!server.listening) return;
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    record(request, requests);
    if (request.method === "PUT") {
      underWay.set(response, request.url ?? "");
      response.once("close", () => underWay.delete(response));
      upstream.onUpload(request, response);
    } else if (request.method === "GET" && /^\/v2\/images\/[^/]+$/.test(request.url ?? "")) {
      upstream.onLookUp(request);
      upstream.answerLookUp(response, request);
    } else upstream.onOther(request, response);
  };
  server.on("request", onRequest);
  // As eventlet: 100 once the upload is to be read.
  server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
    if (upstream.onUpload === accept || upstream.onUpload === resetAtFirstByte) response.writeContinue();
    onRequest(request, response);
  });
  if (!server.listening) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  }
  const address = server.address() as AddressInfo | string;
  upstream.url =
    typeof address === "string"
      ? `unix:${address}`
      : `${server instanceof HttpsServer ? "https" : "http"}://${address.family === "IPv6" ? "[::1]" : "127.0.0.1"}:${address.port}`;
  return upstream;
}

/** Of the image at this target, with these uploads under way. */
function statusOf(image: string, uploads: readonly string[]): string | undefined {
  if (uploads.includes(`${image}/file`)) return "saving";
  return uploads.includes(`${image}/stage`) ? "uploading" : undefined;
}

function record(request: IncomingMessage, requests: RecordedRequest[]): void {
  const recorded: RecordedRequest = {
    method: request.method ?? "",
    target: request.url ?? "",
    rawHeaders: request.rawHeaders,
    headers: request.headers,
    bytes: 0,
    complete: false,
    over: new Promise((resolve) => {
      const settle = (): void => {
        recorded.complete = request.complete;
        resolve();
      };
      request.once("close", settle).once("error", settle);
      // Node says nothing more of a request whose answer was written before its end.
      request.socket.once("close", settle);
    }),
  };
  requests.push(recorded);
  request.on("data", (piece: Buffer) => {
    recorded.bytes += piece.length;
  });
}
