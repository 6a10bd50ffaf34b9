/** A client that closes its sending side (FIN) behind a whole request still gets its answer. */
import { expect, test } from "vitest";
import { CHUNKED, FILE, SIZE, useScene } from "./scene.js";

const scene = useScene();

test("a GET is answered, and the connection then closes", async () => {
  const peer = await scene.connect();
  peer.sendHead("GET", "/v2/images").end();
  expect((await peer.response()).text).toBe("GET /v2/images");
  expect(await peer.closed()).toBe("fin");
});

test("pipelined requests are all answered", async () => {
  const peer = await scene.connect();
  for (const name of ["one", "two", "three"]) peer.sendHead("GET", `/${name}`);
  peer.end();
  for (const name of ["one", "two", "three"]) expect((await peer.response()).text).toBe(`GET /${name}`);
  expect(await peer.closed()).toBe("fin");
});

test.each([
  ["Content-Length", { "Content-Length": 5 }, "hello"],
  ["chunked with its size", { ...CHUNKED, [SIZE]: 5 }, "5\r\nhello\r\n0\r\n\r\n"],
  ["chunked, undeclared", CHUNKED, "5\r\nhello\r\n0\r\n\r\n"],
  ["chunked, too long", { ...CHUNKED, [SIZE]: 4 }, "5\r\nhello\r\n0\r\n\r\n"],
])("an upload is answered (%s)", async (name, headers, body) => {
  const peer = await scene.connect();
  peer.sendHead("PUT", FILE, headers).send(body).end();
  expect((await peer.response()).status).toBe(name.includes("too long") ? 400 : 204);
  expect(await peer.closed()).toBe("fin");
});

test("an upload is answered also if Glance is slow", async () => {
  scene.upstream.onUpload = (incoming, response) => {
    response.writeContinue();
    incoming.resume().once("end", () => setTimeout(() => response.writeHead(204).end(), 200));
  };
  const peer = await scene.startUpload({ [SIZE]: 5 });
  peer.sendChunk("hello").endChunks().end();
  expect((await peer.response()).status).toBe(204);
});

test("an upload that is not whole is cut, and nothing becomes of it", async () => {
  const peer = await scene.startUpload({ [SIZE]: 5 });
  peer.sendChunk("hell");
  const upload = await scene.uploadUpstream();
  peer.end();
  await upload.over;
  expect(upload.complete).toBe(false);
  const label = 'operation="file",outcome="client_aborted",size_source="header"';
  await expect.poll(() => scene.proxy.metric(`uploads_total{${label}}`)).toBe(1);
});

test("an idle connection is closed at once", async () => {
  const peer = await scene.connect();
  peer.sendHead("GET", "/v2/images");
  await peer.response();
  peer.end();
  expect(await peer.closed()).toBe("fin");
});
