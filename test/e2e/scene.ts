/** What most end-to-end tests start from: for each test a recording upstream of its own, with a proxy in front of it. */
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { afterEach, beforeEach } from "vitest";
import { startProxy, type TestProxy, type TestProxyConfig } from "../support/proxy.js";
import { connect, type HeaderValues, type Peer, request } from "../support/raw-http.js";
import {
  type RecordedRequest,
  type RecordingUpstream,
  startRecordingUpstream,
  type UploadScript,
} from "../support/recording-upstream.js";

export const FILE = "/v2/images/one/file";
export const STAGE = "/v2/images/one/stage";
export const SIZE = "x-openstack-image-size";
export const CHUNKED = { "Transfer-Encoding": "chunked" } as const;

export interface Scene {
  readonly upstream: RecordingUpstream;
  readonly proxy: TestProxy;
  /** One more proxy, in front of the same upstream unless another is named; it ends with the test. */
  startAnother(config: TestProxyConfig, upstreamUrl?: string): Promise<TestProxy>;
  /** A connection to the proxy, closed when the test ends. */
  connect(port?: number): Promise<Peer>;
  /** A connection on which the head of a chunked upload has been sent. */
  startUpload(headers?: HeaderValues, target?: string, port?: number): Promise<Peer>;
  /** The upload that upstream sees, once it sees one. */
  uploadUpstream(): Promise<RecordedRequest>;
  /** By then the proxy has worked off everything that it had received before. */
  roundTrip(): Promise<void>;
}

/** Call it at the top of a file or a `describe`. */
export function useScene(config: TestProxyConfig = {}): Scene {
  let upstream: RecordingUpstream;
  let proxies: TestProxy[] = [];
  let peers: Peer[] = [];

  async function start(more: TestProxyConfig, url: string): Promise<TestProxy> {
    const proxy = await startProxy(url, more);
    proxies.push(proxy);
    return proxy;
  }

  const scene: Scene = {
    get upstream() {
      return upstream;
    },
    get proxy() {
      const [proxy] = proxies;
      if (!proxy) throw new Error("there is a proxy only while a test runs");
      return proxy;
    },
    startAnother: (more, url = upstream.url) => start(more, url),
    async connect(port = scene.proxy.port) {
      const peer = await connect(port);
      peers.push(peer);
      return peer;
    },
    async startUpload(headers = {}, target = FILE, port = scene.proxy.port) {
      const peer = await scene.connect(port);
      return peer.sendHead("PUT", target, { ...CHUNKED, ...headers });
    },
    async uploadUpstream() {
      for (;;) {
        const [upload] = upstream.uploads;
        if (upload) return upload;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    },
    async roundTrip() {
      for (let trip = 0; trip < 3; trip += 1) {
        await request(scene.proxy.port, "GET", "/v2/schemas/image");
      }
    },
  };

  beforeEach(async () => {
    upstream = await startRecordingUpstream();
    await start(config, upstream.url);
  });
  afterEach(async () => {
    for (const peer of peers) peer.destroy();
    for (const proxy of proxies) proxy.stop();
    peers = [];
    proxies = [];
    await upstream.stop();
  });
  return scene;
}

/** As uWSGI: reads what comes, without having said `100 Continue`. */
export const neverContinue: UploadScript = (request, response) => {
  request.resume().once("end", () => response.writeHead(204).end());
};

/** What Glance read of an upload, all together. */
export interface Seen {
  digest(): string;
}

/** Glance reads in fits and starts: what is on its way to it stays there for a while. */
export function readSlowly(upstream: RecordingUpstream): Seen {
  return readUpload(upstream, (incoming) => {
    incoming.pause();
    setTimeout(() => incoming.resume(), 1);
  });
}

export function readAtOnce(upstream: RecordingUpstream): Seen {
  return readUpload(upstream, () => undefined);
}

function readUpload(upstream: RecordingUpstream, afterPiece: (incoming: IncomingMessage) => void): Seen {
  const hash = createHash("sha256");
  upstream.onUpload = (incoming, response) => {
    response.writeContinue();
    incoming.on("data", (piece: Buffer) => {
      hash.update(piece);
      afterPiece(incoming);
    });
    incoming.once("end", () => response.writeHead(204).end());
  };
  return { digest: () => hash.digest("hex") };
}
