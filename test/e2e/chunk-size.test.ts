/** A body of unknown size goes to Glance in chunks of exactly 64 KiB, however the client or a balancer cut it. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startProxy, type TestProxy, type TestProxyConfig } from "../support/proxy.js";
import { connect, type Peer } from "../support/raw-http.js";

const CHUNK = 64 * 1024;
const TOTAL = 5 * CHUNK + 1_234;

let server: Server;
let url: string;
/** Sizes of the chunks of the upload so far, the last one of size 0 included. */
let chunks: number[];
let body: string;
let proxy: TestProxy | undefined;
const peers: Peer[] = [];

beforeEach(async () => {
  chunks = [];
  body = "";
  server = createServer((socket) => {
    let text = "";
    let isUpload = false;
    socket.on("error", () => undefined);
    socket.on("data", (piece) => {
      text += piece.toString("latin1");
      const end = text.indexOf("\r\n\r\n");
      if (!isUpload && end !== -1) {
        isUpload = text.startsWith("PUT");
        text = text.slice(end + 4);
        if (!isUpload) {
          const image = JSON.stringify({ status: "queued", size: null });
          socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${image.length}\r\n\r\n${image}`);
          return;
        }
      }
      for (let match; isUpload && (match = /^([0-9a-f]+)\r\n/i.exec(text));) {
        const size = parseInt(match[1] ?? "", 16);
        const start = match[0].length;
        if (text.length < start + size + 2) return;
        chunks.push(size);
        body += text.slice(start, start + size);
        text = text.slice(start + size + 2);
        if (size === 0) socket.end("HTTP/1.1 204 No Content\r\n\r\n");
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  for (const peer of peers.splice(0)) peer.destroy();
  proxy?.stop();
  server.close();
});

async function begin(config: TestProxyConfig = {}): Promise<Peer> {
  proxy = await startProxy(url, config);
  const peer = await connect(proxy.port);
  peers.push(peer);
  return peer.sendHead("PUT", "/v2/images/one/file", { "Transfer-Encoding": "chunked" });
}

const data = Array.from({ length: TOTAL }, (_, at) => String.fromCharCode(97 + ((at * 7) % 26))).join("");

const ways: [string, TestProxyConfig][] = [
  ["forwarded", {}],
  [
    "spooled until there is no room, then forwarded",
    { size: { unknown: "spool" }, spool: { maxPerUpload: 100_000 } },
  ],
];

describe.each(ways)("%s", (_, config) => {
  it.each([1, 1_000, 16_320, CHUNK - 1, CHUNK, CHUNK + 1, 1024 * 1024])(
    "in pieces of %i bytes",
    async (pieceBytes) => {
      const peer = await begin(config);
      for (let at = 0; at < data.length;) {
        const batch: string[] = [];
        for (; at < data.length && batch.length < 1_000; at += pieceBytes) {
          const piece = data.slice(at, at + pieceBytes);
          batch.push(`${piece.length.toString(16)}\r\n${piece}\r\n`);
        }
        peer.send(batch.join(""));
        await peer.flushed();
      }
      peer.endChunks();
      expect((await peer.response()).status).toBe(204);
      expect(chunks).toEqual([...Array<number>(5).fill(CHUNK), 1_234, 0]);
      expect(body === data).toBe(true);
    },
  );
});

it("a partial chunk is sent after 5 s, before uWSGI gives up on a slow client", async () => {
  const peer = await begin();
  peer.sendChunk("hello");
  await expect.poll(() => chunks, { timeout: 9_000 }).toEqual([5]);
  peer.sendChunk("again");
  await expect.poll(() => chunks, { timeout: 9_000 }).toEqual([5, 5]);
  peer.endChunks();
  expect((await peer.response()).status).toBe(204);
  expect(body).toBe("helloagain");
});

it("an empty body has only the last chunk", async () => {
  const peer = await begin();
  peer.endChunks();
  expect((await peer.response()).status).toBe(204);
  expect(chunks).toEqual([0]);
});
