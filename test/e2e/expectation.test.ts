/** `Expect: 100-continue`, as the proxy keeps it towards the client and uses it towards Glance. */
import { describe, expect, it } from "vitest";
import { relayUnderTest } from "../support/proxy.js";
import { request } from "../support/raw-http.js";
import { FILE, neverContinue, SIZE, useScene } from "./scene.js";

const EXPECT = { Expect: "100-continue" };

describe("Expect: 100-continue of a client:", () => {
  const scene = useScene();

  it("100 is sent once, and the upload continues", async () => {
    const peer = await scene.startUpload({ ...EXPECT, [SIZE]: 5 });
    expect((await peer.interim()).status).toBe(100);
    peer.sendChunk("hello").endChunks();
    expect((await peer.response()).status).toBe(204);
    expect(peer.interims).toHaveLength(1);
    expect(scene.upstream.uploads).toMatchObject([{ bytes: 5, complete: true }]);
  });

  it("100 is not sent before Glance wants the body", async () => {
    let wantBody = (): void => undefined;
    const asked = new Promise<void>((resolve) => {
      scene.upstream.onUpload = (incoming, response) => {
        wantBody = () => response.writeContinue();
        incoming.resume().once("end", () => response.writeHead(204).end());
        resolve();
      };
    });
    const peer = await scene.startUpload({ ...EXPECT, [SIZE]: 5 });
    await asked;
    await scene.roundTrip();
    expect(peer.unread).toHaveLength(0);
    wantBody();
    expect((await peer.interim()).status).toBe(100);
  });

  it.each([
    ["an invalid size", FILE, { [SIZE]: "x" }, 400],
    ["sizes that contradict each other", FILE, { [SIZE]: 5, "Upload-Length": 6 }, 400],
    ["an expectation nobody knows", FILE, { Expect: "miracles" }, 417],
    ["an unknown coding", FILE, { "Transfer-Encoding": "gzip, chunked" }, 501],
    ["a target with a dot segment", "/v2/images/../one/file", {}, 400],
    ["a target with _method", `${FILE}?_method=PUT`, {}, 400],
  ])("no 100 for %s", async (_, target, headers, status) => {
    const peer = await scene.startUpload({ ...EXPECT, ...headers }, target);
    expect((await peer.response()).status).toBe(status);
    expect(peer.interims).toEqual([]);
    expect(scene.upstream.requests).toEqual([]);
  });

  it("100-continue is recognized in upper and lower case", async () => {
    const peer = await scene.startUpload({ Expect: "100-Continue", [SIZE]: 5 });
    expect((await peer.interim()).status).toBe(100);
  });

  it("other requests get 100 from the proxy, without asking Glance", async () => {
    const peer = await scene.connect();
    peer.sendHead("POST", "/v2/images", { ...EXPECT, "Content-Length": 2 });
    expect((await peer.interim()).status).toBe(100);
    peer.send("{}");
    expect((await peer.response()).status).toBe(200);
    expect(scene.upstream.requests[0]?.headers).not.toHaveProperty("expect");
    expect(scene.upstream.requests[0]).toMatchObject({ bytes: 2, complete: true });
  });

  it("any other expectation is refused with 417", async () => {
    const answer = await request(scene.proxy.port, "PUT", FILE, {
      headers: { Expect: "miracles" },
      body: "x",
    });
    expect(answer.status).toBe(417);
    expect(scene.upstream.requests).toEqual([]);
  });
});

describe("Expect: 100-continue to Glance:", () => {
  const scene = useScene();

  it.each([
    ["known", { [SIZE]: 5 }],
    ["unknown", {}],
  ])("an upload of %s size sends it, whether or not the client did", async (_, headers) => {
    const peer = await scene.startUpload(headers);
    await scene.uploadUpstream();
    peer.sendChunk("hello").endChunks();
    expect((await peer.response()).status).toBe(204);
    expect(scene.upstream.uploads[0]?.headers["expect"]).toBe("100-continue");
  });

  it("an empty upload does not send it", async () => {
    await request(scene.proxy.port, "PUT", FILE, { body: "" });
    expect(scene.upstream.uploads[0]?.headers).not.toHaveProperty("expect");
  });

  it("no body byte of a client that waits for 100 goes before Glance's", async () => {
    let wantBody = (): void => undefined;
    scene.upstream.onUpload = (incoming, response) => {
      wantBody = () => response.writeContinue();
      incoming.resume().once("end", () => response.writeHead(204).end());
    };
    const peer = await scene.startUpload({ [SIZE]: 5, Expect: "100-continue" });
    peer.sendChunk("hello").endChunks();
    const upload = await scene.uploadUpstream();
    await scene.roundTrip();
    expect(upload.bytes).toBe(0);
    expect(peer.unread).toHaveLength(0);
    wantBody();
    expect((await peer.interim()).status).toBe(100);
    expect((await peer.response()).status).toBe(204);
    expect(upload).toMatchObject({ bytes: 5, complete: true });
  });

  it("a Glance that never says 100, as under uWSGI, has the body of a client that waits after a second", async () => {
    scene.upstream.onUpload = neverContinue;
    const startedAt = performance.now();
    const peer = await scene.startUpload({ [SIZE]: 5, Expect: "100-continue" });
    expect((await peer.interim()).status).toBe(100);
    expect(performance.now() - startedAt).toBeGreaterThan(900);
    peer.sendChunk("hello").endChunks();
    expect((await peer.response()).status).toBe(204);
    expect(scene.upstream.uploads).toMatchObject([{ bytes: 5, complete: true }]);
  });

  it("a Glance that never says 100 has the body of any other client at once", async () => {
    scene.upstream.onUpload = neverContinue;
    const peer = await scene.startUpload({ [SIZE]: 5 });
    peer.sendChunk("hell");
    const upload = await scene.uploadUpstream();
    // Long before a second is over: it is the next thing that happens.
    await scene.roundTrip();
    expect(upload.bytes).toBe(4);
    peer.sendChunk("o").endChunks();
    expect((await peer.response()).status).toBe(204);
  });

  it.each([5, 16_383, 20_000, 60_000, 65_000])(
    "%i bytes that came whole with their head go with it, and ask for nothing",
    async (bytes) => {
      const peer = await scene.connect();
      peer.send(`PUT ${FILE} HTTP/1.1\r\nHost: a\r\nContent-Length: ${bytes}\r\n\r\n${"x".repeat(bytes)}`);
      expect((await peer.response()).status).toBe(204);
      const [upload] = scene.upstream.uploads;
      expect(upload).toMatchObject({ bytes, complete: true });
      if (relayUnderTest() === "stream") expect(upload?.headers).not.toHaveProperty("expect");
    },
  );

  it("a client that leaves in that second leaves no upload behind, even one that had sent everything", async () => {
    scene.upstream.onUpload = neverContinue;
    const peer = await scene.startUpload({ [SIZE]: 5, Expect: "100-continue" });
    peer.sendChunk("hello").endChunks();
    const upload = await scene.uploadUpstream();
    await peer.flushed();
    peer.reset();
    await upload.over;
    expect(upload.complete).toBe(false);
    const label = 'operation="file",outcome="client_aborted",size_source="header"';
    await expect.poll(() => scene.proxy.metric(`uploads_total{${label}}`)).toBe(1);
    expect((await scene.proxy.uploads()).inFlight).toEqual([]);
  });
});
