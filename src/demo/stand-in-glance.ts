/**
 * A simulated Glance from before 2025.2, in memory, for the demo and the tests: images, uploads, staging, `glance-direct` imports
 * and downloads. It ignores `x-openstack-image-size`, counts the bytes of an upload to learn its size, and sets the image back to
 * `queued` if an upload breaks off. The same contract suite runs against the stand-in and against real Glances.
 *
 * Differences from a real Glance: no Keystone, no schemas, no PATCH; data beyond `keepBytes` is counted and hashed but cannot be
 * downloaded; a chunked body that ends in a lone `0` is incomplete here, and complete for a real Glance.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { parseByteRange } from "./stand-in/byte-range.js";
import {
  answer,
  answerError,
  answerJson,
  answerMalformed,
  type Exchange,
  readJson,
  versions,
} from "./stand-in/exchange.js";
import { createImages, type Images, imageView, Refusal, type UploadOperation } from "./stand-in/images.js";
import { type ObservedRequest, type ObservedUpload, UploadRecord } from "./stand-in/observed.js";
import { receiveUpload } from "./stand-in/upload.js";

export type { ObservedRequest, ObservedUpload } from "./stand-in/observed.js";

export interface StandInGlanceOptions {
  /** Maximum bytes of image data kept in memory for downloads, of all images together. Default: 64 MiB. */
  readonly keepBytes?: number;
  /** Called when an upload begins to be read, ends or is refused. */
  readonly onUpload?: (upload: ObservedUpload) => void;
}

export interface StandInGlance {
  /** Does not listen yet. */
  readonly server: Server;
  readonly images: Images;
  /** The last 1000 uploads, oldest first. */
  readonly uploads: readonly ObservedUpload[];
  /** The last 1000 requests of all kinds, oldest first. */
  readonly requests: readonly ObservedRequest[];
}

export interface RunningStandInGlance extends StandInGlance {
  readonly port: number;
  /** Without a trailing slash. */
  readonly url: string;
  /** Destroys open connections. */
  stop(): Promise<void>;
}

const KEEP_BYTES = 64 * 1024 * 1024;
const MAX_OBSERVED = 1000;
const NOT_FOUND = "The resource could not be found.";

/** Starts a stand-in on 127.0.0.1. @param options `port` default: a free port. */
export async function startStandInGlance(
  options: StandInGlanceOptions & { readonly port?: number } = {},
): Promise<RunningStandInGlance> {
  const glance = createStandInGlance(options);
  const { server } = glance;
  server.listen(options.port ?? 0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    ...glance,
    port,
    url: `http://127.0.0.1:${port}`,
    async stop() {
      if (!server.listening) return;
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

export function createStandInGlance(options: StandInGlanceOptions = {}): StandInGlance {
  return new StandIn(options);
}

class StandIn implements StandInGlance {
  readonly server: Server;
  readonly images: Images;
  readonly uploads: ObservedUpload[] = [];
  readonly requests: ObservedRequest[] = [];
  readonly #onUpload: StandInGlanceOptions["onUpload"];
  readonly #current = new WeakMap<Duplex, Exchange>();

  constructor({ keepBytes = KEEP_BYTES, onUpload }: StandInGlanceOptions) {
    this.images = createImages(keepBytes);
    this.#onUpload = onUpload;
    this.server = createServer((request, response) => {
      this.#handle(request, response, false);
    });
    this.server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
      this.#handle(request, response, true);
    });
    this.server.on("clientError", (_error, socket) => this.#onClientError(socket));
    this.server.requestTimeout = 0; // an upload may take any time
  }

  #handle(request: IncomingMessage, response: ServerResponse, awaitsContinue: boolean): void {
    const { method = "", url: target = "", rawHeaders } = request;
    remember(this.requests, { method, target, rawHeaders });
    const exchange: Exchange = { request, response, awaitsContinue, onBroken: undefined };
    this.#current.set(request.socket, exchange);
    this.#route(exchange).catch((error: unknown) => {
      answerError(exchange, error);
    });
  }

  async #route(exchange: Exchange): Promise<void> {
    const { images } = this;
    const { request } = exchange;
    const { method = "", url = "/" } = request;
    const path = decodedPath(url);
    if (path === "/versions") return answerJson(exchange, 200, versions(request));
    const resource = /^\/v2(?:\.\d+)?(\/.*)$/.exec(path)?.[1];
    if (resource === undefined) return answerJson(exchange, 300, versions(request));
    const match = /^\/images(?:\/([^/]+)(?:\/(file|stage|import))?)?$/.exec(resource);
    if (!match) throw new Refusal(404, NOT_FOUND);
    const [, id = "", part] = match;
    switch (`${method} ${part ?? (id === "" ? "images" : "image")}`) {
      case "GET images":
        return answerJson(exchange, 200, { images: images.list().map(imageView), first: "/v2/images" });
      case "POST images":
        return createImage(exchange, images);
      case "GET image":
        return answerJson(exchange, 200, imageView(images.get(id)));
      case "DELETE image":
        images.delete(id);
        return answer(exchange, 204);
      case "PUT file":
      case "PUT stage":
        return this.#upload(exchange, id, part === "stage" ? "stage" : "file");
      case "GET file":
        return download(exchange, images, id);
      case "POST import":
        return importImage(exchange, images, id);
      default:
        throw new Refusal(405, `The method ${method} is not allowed for this resource.`);
    }
  }

  #upload(exchange: Exchange, id: string, operation: UploadOperation): Promise<void> {
    const record = new UploadRecord(exchange.request, id, operation);
    remember(this.uploads, record);
    return receiveUpload(exchange, this.images, record, () => this.#onUpload?.(record));
  }

  /** Node reports a FIN in the middle of a body only as a client error. */
  #onClientError(socket: Duplex): void {
    const exchange = this.#current.get(socket);
    if (!exchange || exchange.response.writableEnded) answerMalformed(socket);
    // The bytes after a complete request are malformed. The request is answered, and the connection then closes.
    else if (exchange.request.complete) exchange.response.shouldKeepAlive = false;
    else if (exchange.onBroken) exchange.onBroken();
    else answerMalformed(socket);
  }
}

async function createImage(exchange: Exchange, images: Images): Promise<void> {
  const image = images.create(await readJson(exchange));
  answerJson(exchange, 201, imageView(image), {
    Location: `http://${exchange.request.headers.host ?? "localhost"}/v2/images/${image.id}`,
    "OpenStack-image-import-methods": "glance-direct",
    "OpenStack-image-store-ids": "file",
  });
}

async function importImage(exchange: Exchange, images: Images, id: string): Promise<void> {
  const body = (await readJson(exchange)) as { method?: { name?: unknown } } | null;
  const name = body?.method?.name;
  if (body?.method === undefined) throw new Refusal(400, "Import request requires a 'method' field.");
  if (name !== "glance-direct") throw new Refusal(400, `Unknown import method name '${String(name)}'.`);
  images.import(id);
  answer(exchange, 202, Buffer.alloc(0));
}

function download(exchange: Exchange, images: Images, id: string): void {
  const { data } = images.get(id);
  if (!data) {
    answer(exchange, 204);
    return;
  }
  const range = exchange.request.headers.range;
  const part = range === undefined ? undefined : parseByteRange(range, data.sizeBytes);
  const { bytes } = data;
  if (!bytes) throw new Refusal(503, `The stand-in did not keep the ${data.sizeBytes} bytes of image ${id}`);
  const headers = { "Content-Type": "application/octet-stream", "Content-MD5": data.md5 };
  if (!part) {
    answer(exchange, 200, bytes, headers);
    return;
  }
  answer(exchange, 206, bytes.subarray(part.start, part.end + 1), {
    ...headers,
    "Content-Range": `bytes ${part.start}-${part.end}/${bytes.length}`,
  });
}

/** The path as Glance reads a target: without the query, decoded once, several slashes in a row as one slash. */
function decodedPath(target: string): string {
  const raw = target.split("?", 1)[0] ?? "";
  try {
    return decodeURIComponent(raw).replace(/\/{2,}/g, "/");
  } catch {
    throw new Refusal(404, NOT_FOUND);
  }
}

function remember<T>(list: T[], entry: T): void {
  list.push(entry);
  if (list.length > MAX_OBSERVED) list.shift();
}
