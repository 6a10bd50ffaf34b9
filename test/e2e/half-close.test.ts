/** A client that closes its sending side (FIN) behind a whole request still gets its answer. */
import { once } from "node:events";
import tls from "node:tls";
import { expect, it } from "vitest";
import { createAuthority } from "../support/certificates.js";
import { Peer } from "../support/raw-http.js";
import { describeWith } from "../support/requirements.js";
import { CHUNKED, FILE, SIZE, useScene } from "./scene.js";

const scene = useScene();

it("a GET of a half-closed client is answered, and the connection then closes", async () => {
  const peer = await scene.connect();
  peer.sendHead("GET", "/v2/images").end();
  expect((await peer.response()).text).toBe("GET /v2/images");
  expect(await peer.closed()).toBe("fin");
});

it("all pipelined requests of a half-closed client are answered", async () => {
  const peer = await scene.connect();
  for (const name of ["one", "two", "three"]) peer.sendHead("GET", `/${name}`);
  peer.end();
  for (const name of ["one", "two", "three"]) expect((await peer.response()).text).toBe(`GET /${name}`);
  expect(await peer.closed()).toBe("fin");
});

it.each([
  ["Content-Length", { "Content-Length": 5 }, "hello"],
  ["chunked with its size", { ...CHUNKED, [SIZE]: 5 }, "5\r\nhello\r\n0\r\n\r\n"],
  ["chunked, undeclared", CHUNKED, "5\r\nhello\r\n0\r\n\r\n"],
  ["chunked, too long", { ...CHUNKED, [SIZE]: 4 }, "5\r\nhello\r\n0\r\n\r\n"],
])("an upload of a half-closed client is answered (%s)", async (name, headers, body) => {
  const peer = await scene.connect();
  peer.sendHead("PUT", FILE, headers).send(body).end();
  expect((await peer.response()).status).toBe(name.includes("too long") ? 400 : 204);
  expect(await peer.closed()).toBe("fin");
});

it("an upload of a half-closed client is answered even if Glance is slow", async () => {
  let answer = (): void => undefined;
  scene.upstream.onUpload = (incoming, response) => {
    response.writeContinue();
    incoming.resume();
    answer = () => response.writeHead(204).end();
  };
  const peer = await scene.startUpload({ [SIZE]: 5 });
  peer.sendChunk("hello").endChunks().end();
  await (
    await scene.uploadUpstream()
  ).over;
  await scene.roundTrip();
  answer();
  expect((await peer.response()).status).toBe(204);
});

it("an incomplete upload of a half-closed client is aborted", async () => {
  const peer = await scene.startUpload({ [SIZE]: 5 });
  peer.sendChunk("hell");
  const upload = await scene.uploadUpstream();
  peer.end();
  await upload.over;
  expect(upload.complete).toBe(false);
  const label = 'operation="file",outcome="client_aborted",size_source="header"';
  await expect.poll(() => scene.proxy.metric(`uploads_total{${label}}`)).toBe(1);
});

it("an idle half-closed connection is closed at once", async () => {
  const peer = await scene.connect();
  peer.sendHead("GET", "/v2/images");
  await peer.response();
  peer.end();
  expect(await peer.closed()).toBe("fin");
});

it("a refusal that is decided reaches a client that has closed its side, however the body was wrong", async () => {
  for (const wrong of ["5\r\nhello\r\nzz\r\n", "6\r\nhello!\r\n"]) {
    const peer = await scene.startUpload({ [SIZE]: 5 });
    peer.send(wrong).end();
    expect((await peer.response()).status).toBe(400);
    expect(await peer.closed(4_000)).toBe("fin");
  }
});

it.each(["PUT /v2/images/one/file", "POST /v2/images"])(
  "an earlier request is answered though %s behind it is cut",
  async (later) => {
    let answer: (() => void) | undefined;
    const answerOthers = scene.upstream.onOther;
    scene.upstream.onOther = (_incoming, response) => {
      scene.upstream.onOther = answerOthers;
      answer = () => response.end("slow");
    };
    const peer = await scene.connect();
    peer
      .sendHead("GET", "/slow")
      .send(`${later} HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345`)
      .end();
    await expect.poll(() => answer).toBeDefined();
    await scene.roundTrip();
    answer?.();
    expect((await peer.response()).text).toBe("slow");
  },
);

describeWith(["openssl"], "a half-closed client over TLS:", () => {
  it.each([
    ["GET /v2/images", "", 200],
    ["PUT /v2/images/one/file", "Content-Length: 5\r\n\r\nhello", 204],
    ["PUT /v2/images/one/file", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 204],
  ])("%s is answered", async (line, rest, status) => {
    const authority = await createAuthority();
    try {
      const { certFile, keyFile } = authority;
      const { port } = await scene.startAnother({ listen: { tls: { certFile, keyFile } } });
      const halfOpen: object = { allowHalfOpen: true }; // of `net`, and so not among the types of `tls`
      const socket = tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false, ...halfOpen });
      await once(socket, "secureConnect");
      const peer = new Peer(socket);
      peer.send(`${line} HTTP/1.1\r\nHost: a\r\n${rest === "" ? "\r\n" : rest}`).end();
      expect((await peer.response()).status).toBe(status);
    } finally {
      await authority.remove();
    }
  });
});
