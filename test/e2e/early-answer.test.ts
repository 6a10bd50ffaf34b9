/** Glance answers before the body has ended: a refusal goes to the client at once, a success is believed by nobody. */
import { describe, expect, it } from "vitest";
import { answerEarly } from "../support/recording-upstream.js";
import { CHUNKED, FILE, SIZE, useScene } from "./scene.js";

const scene = useScene();
const MIB = Buffer.alloc(1024 * 1024, "x");

describe("a refusal by Glance", () => {
  describe.each([401, 403, 404, 409, 413, 415, 500, 503])("%i", (status) => {
    it.each([
      ["chunked", CHUNKED],
      ["chunked with header", { ...CHUNKED, [SIZE]: 4 * MIB.length }],
      ["Content-Length", { "Content-Length": 4 * MIB.length }],
    ])("reaches a client that is still sending, %s", async (_, headers) => {
      scene.upstream.onUpload = answerEarly(status, "Glance's own words");
      const peer = await scene.connect();
      peer.sendHead("PUT", FILE, headers);
      const chunked = "Transfer-Encoding" in headers;
      const piece = () => (chunked ? peer.sendChunk(MIB) : peer.send(MIB));
      piece();
      const answer = await peer.response();
      expect(answer).toMatchObject({ status, text: "Glance's own words" });
      expect(answer.headers["connection"]).toBe("close");
      piece();
      piece();
      piece();
      if (chunked) peer.endChunks();
      expect(await peer.closed()).toBe("fin");
      expect(peer.wasReset).toBe(false);

      const upload = await scene.uploadUpstream();
      await upload.over;
      expect(upload.complete).toBe(false);
      const source = chunked ? (SIZE in headers ? "header" : "unknown") : "content_length";
      const label = `operation="file",outcome="upstream_rejected",size_source="${source}"`;
      await expect.poll(() => scene.proxy.metric(`uploads_total{${label}}`)).toBe(1);
    });
  });

  it("that comes in the middle of the body reaches the client before it has ended", async () => {
    scene.upstream.onUpload = (incoming, response) => {
      response.writeContinue();
      incoming.once("data", () => response.writeHead(409, { "content-type": "text/plain" }).end("in use"));
    };
    const peer = await scene.startUpload();
    peer.sendChunk(MIB); // a few bytes of a body of unknown size would wait for more
    const answer = await peer.response();
    expect(answer).toMatchObject({ status: 409, text: "in use" });
    expect(answer.headers).toMatchObject({ "content-length": "6", "content-type": "text/plain" });
    expect(answer.headers).not.toHaveProperty("transfer-encoding");
    await (
      await scene.uploadUpstream()
    ).over;
    peer.endChunks();
    expect(await peer.closed()).toBe("fin");
  });

  it("without a body reaches a client that is still sending", async () => {
    scene.upstream.onUpload = answerEarly(401, "");
    const peer = await scene.startUpload({ [SIZE]: 5 });
    peer.sendChunk("hell");
    const answer = await peer.response();
    expect(answer.status).toBe(401);
    expect(answer.body).toHaveLength(0);
  });

  it("such as a redirect reaches a client that is still sending, and is no success", async () => {
    scene.upstream.onUpload = answerEarly(300, "choices");
    const peer = await scene.startUpload({ [SIZE]: 5 }, "/images/one/file");
    peer.sendChunk("hell");
    expect(await peer.response()).toMatchObject({ status: 300, text: "choices" });
    const upload = await scene.uploadUpstream();
    await upload.over;
    expect(upload.complete).toBe(false);
  });

  it("keeps its headers and its reason phrase, repeated ones included", async () => {
    scene.upstream.onUpload = (_incoming, response) => {
      response.writeHead(401, "Who Are You", [
        ...["WWW-Authenticate", "Keystone uri=a"],
        ...["WWW-Authenticate", "Keystone uri=b"],
        ...["X-Openstack-Request-Id", "req-of-glance"],
        ...["Connection", "X-Secret"],
        ...["X-Secret", "1"],
        ...["Content-Length", "0"],
      ]);
      response.end();
    };
    const peer = await scene.startUpload();
    const answer = await peer.response();
    expect(answer.statusText).toBe("Who Are You");
    expect(answer.rawHeaders.filter(([name]) => /www-authenticate/i.test(name))).toHaveLength(2);
    expect(answer.headers["x-openstack-request-id"]).toBe("req-of-glance");
    expect(answer.headers).not.toHaveProperty("x-secret");
  });

  it("reaches a client that waits for 100 Continue instead of the 100", async () => {
    scene.upstream.onUpload = answerEarly(409, "no");
    const peer = await scene.startUpload({ [SIZE]: 5, Expect: "100-continue" });
    expect((await peer.response()).status).toBe(409);
    expect(peer.interims).toEqual([]);
  });

  it("such as 304, which has no body, is passed on at once", async () => {
    scene.upstream.onUpload = (_incoming, response) => {
      response.writeHead(304).end();
    };
    const peer = await scene.startUpload({ [SIZE]: 5 });
    expect((await peer.response()).status).toBe(304);
  });

  it("with status 101 is not passed on", async () => {
    scene.upstream.onUpload = (incoming) => {
      incoming.socket.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
    };
    const peer = await scene.startUpload({ [SIZE]: 5 });
    expect((await peer.response()).status).toBe(502);
  });

  it("that is truncated is not passed on as complete", async () => {
    scene.upstream.onUpload = (incoming, response) => {
      response.writeHead(409, { "content-length": 100 }).write("only this much", () => {
        incoming.socket.destroy();
      });
    };
    const peer = await scene.startUpload({ [SIZE]: 5 });
    peer.sendChunk("hell");
    const answer = await peer.response();
    expect(answer.status).toBe(502);
    expect(answer.text).toContain("Glance's answer is incomplete: the connection was cut.");
    expect(await scene.proxy.metric('upstream_errors_total{kind="truncated"}')).toBe(1);
  });
});

describe("an early success by Glance", () => {
  it.each([200, 204])("(%i) becomes 502, and the upload is destroyed", async (status) => {
    scene.upstream.onUpload = (incoming, response) => {
      response.writeContinue();
      incoming.once("data", () => response.writeHead(status).end());
    };
    const peer = await scene.startUpload({ [SIZE]: 10 });
    peer.sendChunk("hello");
    const answer = await peer.response();
    expect(answer.status).toBe(502);
    expect(answer.text).toContain(`Glance answered ${status} before the request body ended`);
    const upload = await scene.uploadUpstream();
    await upload.over;
    expect(upload.complete).toBe(false);
    expect(await scene.proxy.metric('upstream_errors_total{kind="early_success"}')).toBe(1);
    expect(await scene.proxy.metric('rollbacks_total{result="queued"}')).toBe(1);
  });

  it("before the first body byte becomes 502, too", async () => {
    scene.upstream.onUpload = (_incoming, response) => void response.writeHead(204).end();
    const peer = await scene.startUpload();
    peer.sendChunk("hello");
    expect((await peer.response()).status).toBe(502);
    const upload = await scene.uploadUpstream();
    await upload.over;
    expect(upload.complete).toBe(false);
  });
});
