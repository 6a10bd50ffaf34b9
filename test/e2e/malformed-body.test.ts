/** What is not a body in the middle of one: the client can read why it is refused, and nothing becomes of the upload. */
import { expect, it } from "vitest";
import { CHUNKED, FILE, SIZE, STAGE, useScene } from "./scene.js";

const scene = useScene({ size: { unknown: "forward" } });
const MALFORMED = ["zz\r\n", "5;\r\n", "-1\r\nx\r\n", "5\r\nhelloX\r\n", "5 \nhello\r\n"];

for (const target of [FILE, STAGE]) {
  for (const [name, headers] of [
    ["declared", { ...CHUNKED, [SIZE]: 100 }],
    ["undeclared", CHUNKED],
  ] as const) {
    it.each(MALFORMED)(`${target}, ${name}: %j is answered 400`, async (malformed) => {
      const peer = await scene.connect();
      peer.sendHead("PUT", target, headers).sendChunk("first");
      const upload = await scene.uploadUpstream();
      peer.send(malformed);
      const { status, text } = await peer.response();
      expect([status, text]).toEqual([400, expect.stringContaining("not valid HTTP")]);
      await upload.over;
      expect(upload.complete).toBe(false);
      peer.end();
      expect(await peer.closed()).toBe("fin");
      const outcome = `operation="${target === FILE ? "file" : "stage"}",outcome="client_aborted"`;
      const source = name === "declared" ? "header" : "unknown";
      expect(await scene.proxy.metric(`uploads_total{${outcome},size_source="${source}"}`)).toBe(1);
    });
  }
}

it("a malformed body that comes with the head is answered 400", async () => {
  const peer = await scene.connect();
  peer.send(`PUT ${FILE} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n`);
  expect((await peer.response()).status).toBe(400);
  expect(scene.upstream.uploads.every(({ complete }) => !complete)).toBe(true);
});

it("a client that continues to send after a malformed chunk can read the 400", async () => {
  const peer = await scene.startUpload({ [SIZE]: 100 });
  peer.sendChunk("first");
  await scene.uploadUpstream();
  peer.send("zz\r\n");
  for (let count = 0; count < 50; count += 1) {
    peer.send(Buffer.alloc(64 * 1024, "x"));
    await peer.flushed();
  }
  expect((await peer.response()).status).toBe(400);
  expect(peer.wasReset).toBe(false);
});

it("a malformed spooled upload is answered 400, and Glance gets no request", async () => {
  const { port } = await scene.startAnother({ size: { unknown: "spool" } });
  const peer = await scene.startUpload({}, FILE, port);
  peer.sendChunk("first").send("zz\r\n");
  expect((await peer.response()).status).toBe(400);
  expect(scene.upstream.uploads).toEqual([]);
});

it.each([
  ["POST", "/v2/images"],
  ["POST", "/v2/images/one/import"],
  ["PATCH", "/v2/images/one"],
])("%s %s is answered 400, and Glance gets no whole request", async (method, target) => {
  const peer = await scene.connect();
  peer.sendHead(method, target, CHUNKED).sendChunk("{}").send("zz\r\n");
  expect((await peer.response()).status).toBe(400);
  expect(scene.upstream.requests.filter(({ complete }) => complete)).toEqual([]);
});

it.each(["gzip", "identity", "x"])("Transfer-Encoding: %s, alone, is answered 501", async (coding) => {
  const peer = await scene.connect();
  peer.sendHead("PUT", FILE, { "Transfer-Encoding": coding }).send("hello");
  const { status, headers } = await peer.response();
  expect([status, headers["connection"]]).toEqual([501, "close"]);
  peer.end();
  expect(await peer.closed()).toBe("fin");
  expect(scene.upstream.requests).toEqual([]);
});

it.each(["bytes 1000-1999/2000", "bytes */2000", ""])("Content-Range: %j is answered 400", async (range) => {
  for (const target of [FILE, STAGE]) {
    const peer = await scene.connect();
    peer.sendHead("PUT", target, { "Content-Length": 5, "Content-Range": range }).send("hello");
    const { status, text } = await peer.response();
    expect([status, text]).toEqual([400, expect.stringContaining("Content-Range")]);
    expect(scene.upstream.requests).toEqual([]);
  }
});
