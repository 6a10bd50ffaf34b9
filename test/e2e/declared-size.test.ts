/** Whatever tells the size, Glance is told it once, in the two ways that it reads; what is in doubt does not reach it. */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { describe, expect, it } from "vitest";
import { request } from "../support/raw-http.js";
import { CHUNKED, FILE, SIZE, useScene } from "./scene.js";

const HINTS = ["x-image-meta-size", "upload-length", "x-upload-content-length", "x-expected-entity-length"];

const scene = useScene();

describe("a size declared by", () => {
  it.each([
    ...[SIZE, ...HINTS].map(
      (name) => [name, { ...CHUNKED, [name]: 5 }, name === SIZE ? "header" : "hint"] as const,
    ),
    ["Content-Length", { "Content-Length": 5 }, "content_length"] as const,
    ["all of them", { "Content-Length": 5, "Upload-Length": 5, [SIZE]: "05" }, "header"] as const,
  ])("%s reaches Glance as header and as Content-Length", async (_, headers, source) => {
    const peer = await scene.connect();
    peer.sendHead("PUT", FILE, headers);
    if ("Transfer-Encoding" in headers) peer.sendChunk("hello").endChunks();
    else peer.send("hello");
    expect((await peer.response()).status).toBe(204);
    const [upload] = scene.upstream.uploads;
    expect(upload).toMatchObject({ bytes: 5, complete: true });
    const told = (upload?.rawHeaders ?? []).flatMap((name, index, all) =>
      index % 2 === 0 && [SIZE, "content-length", "transfer-encoding"].includes(name.toLowerCase())
        ? [`${name.toLowerCase()}: ${all[index + 1]}`]
        : [],
    );
    expect(told.sort()).toEqual(["content-length: 5", `${SIZE}: 5`]);
    expect(
      await scene.proxy.metric(`uploads_total{operation="file",outcome="completed",size_source="${source}"}`),
    ).toBe(1);
    expect(await scene.proxy.metric('reframed_uploads_total{operation="file"}')).toBe(
      "Transfer-Encoding" in headers ? 1 : 0,
    );
    expect(await scene.proxy.metric('undeclared_uploads_total{client="other"}')).toBe(0);
  });

  it("no header is forwarded chunked, without a size header", async () => {
    const peer = await scene.startUpload({ "User-Agent": "curl/8.0" });
    peer.sendChunk(Buffer.alloc(1024 * 1024)).endChunks();
    expect((await peer.response()).status).toBe(204);
    const [upload] = scene.upstream.uploads;
    expect(upload).toMatchObject({ bytes: 1024 * 1024, complete: true });
    expect(upload?.headers["transfer-encoding"]).toBe("chunked");
    expect(upload?.headers).not.toHaveProperty(SIZE);
    expect(upload?.headers).not.toHaveProperty("content-length");
    expect(await scene.proxy.metric('undeclared_uploads_total{client="curl"}')).toBe(1);
  });

  it("no header is forwarded in chunks of at most 64 KiB, however large the client's are", async () => {
    const glance = createServer((socket) => {
      let text = "";
      socket.write("HTTP/1.1 100 Continue\r\n\r\n");
      socket.setEncoding("latin1").on("data", (piece: string) => {
        text += piece;
        if (!text.endsWith("\r\n0\r\n\r\n")) return;
        for (let at = text.indexOf("\r\n\r\n") + 4; at < text.length;) {
          const line = text.slice(at, text.indexOf("\r\n", at));
          chunks.push(Number.parseInt(line, 16));
          at += line.length + 4 + Number.parseInt(line, 16);
        }
        socket.end("HTTP/1.1 204 No Content\r\n\r\n");
      });
    });
    const chunks: number[] = [];
    glance.listen(0, "127.0.0.1");
    await once(glance, "listening");
    try {
      const { port } = glance.address() as AddressInfo;
      const proxy = await scene.startAnother({}, `http://127.0.0.1:${port}`);
      const peer = await scene.startUpload({}, FILE, proxy.port);
      peer.sendChunk(Buffer.alloc(1024 * 1024, "x")).endChunks();
      expect((await peer.response()).status).toBe(204);
      expect(chunks.reduce((sum, bytes) => sum + bytes, 0)).toBe(1024 * 1024);
      expect(Math.max(...chunks)).toBeLessThanOrEqual(64 * 1024);
    } finally {
      glance.close();
    }
  });

  it("any header reaches Glance even if Connection names it", async () => {
    const peer = await scene.startUpload({ [SIZE]: 5, Connection: `close, ${SIZE}, content-length` });
    peer.sendChunk("hello").endChunks();
    expect((await peer.response()).status).toBe(204);
    expect(scene.upstream.uploads[0]?.headers).toMatchObject({ [SIZE]: "5", "content-length": "5" });
  });

  it("a header with underscores is ignored, and the header is dropped", async () => {
    const peer = await scene.startUpload({ X_OpenStack_Image_Size: 3, Content_Length: 3 });
    peer.sendChunk("hello").endChunks();
    expect((await peer.response()).status).toBe(204);
    const [upload] = scene.upstream.uploads;
    expect(upload).toMatchObject({ bytes: 5, complete: true });
    expect(upload?.rawHeaders.filter((name) => name.includes("_"))).toEqual([]);
  });
});

describe("a size that is not a plain number", () => {
  it.each(["-1", "+5", "1_000", "0x5", "5.0", "5,5", "", "\u00b2", "abc", "9007199254740992"])(
    "%j is refused before Glance hears of it",
    async (value) => {
      const peer = await scene.startUpload({ [SIZE]: value, Expect: "100-continue" });
      const answer = await peer.response();
      expect(answer.status).toBe(400);
      expect(answer.text).toBe("400 Bad Request\n\nInvalid or missing image size in request headers.\n\n   ");
      expect(peer.interims).toEqual([]);
      await scene.roundTrip();
      expect(scene.upstream.uploads).toEqual([]);
      expect(
        await scene.proxy.metric(
          'uploads_total{operation="file",outcome="invalid_size",size_source="unknown"}',
        ),
      ).toBe(1);
      const line = scene.proxy.logged.find(({ msg }) => msg === "upload");
      expect(line).toMatchObject({ cause: `${SIZE}: ${JSON.stringify(value)}`, outcome: "invalid_size" });
    },
  );

  it.each([SIZE, ...HINTS])("two lines of %s are refused", async (name) => {
    const peer = await scene.startUpload({ [name]: ["5", "5"] });
    expect((await peer.response()).status).toBe(400);
    expect(scene.upstream.uploads).toEqual([]);
  });

  it("is checked without surrounding blanks, which are not part of a value", async () => {
    const peer = await scene.startUpload({ [SIZE]: "  5 \t" });
    peer.sendChunk("hello").endChunks();
    expect((await peer.response()).status).toBe(204);
  });

  it("is not counted as an undeclared upload", async () => {
    const peer = await scene.startUpload({ [SIZE]: "abc" });
    await peer.response();
    expect(await scene.proxy.metric('undeclared_uploads_total{client="other"}')).toBe(0);
  });
});

describe("sizes that contradict each other", () => {
  it.each([
    ["more", { [SIZE]: 5, "Content-Length": 6 }, "Size exceeds: expected 5 bytes, got 6 bytes"],
    ["less", { [SIZE]: 5, "Content-Length": 4 }, "Size mismatch: expected 5 bytes, got 4 bytes"],
    ["a hint", { [SIZE]: 5, ...CHUNKED, "Upload-Length": 6 }, "Size exceeds: expected 5 bytes, got 6 bytes"],
    ["no body", { [SIZE]: 5 }, "Size mismatch: expected 5 bytes, got 0 bytes"],
    [
      "two hints",
      { ...CHUNKED, "x-image-meta-size": 5, "Upload-Length": 4 },
      "Size mismatch: expected 5 bytes, got 4 bytes",
    ],
  ])("%s: refused in Glance's words before Glance hears of it", async (_, headers, explanation) => {
    const answer = await request(scene.proxy.port, "PUT", FILE, { headers, body: "" });
    expect(answer.status).toBe(400);
    expect(answer.text).toContain(explanation);
    await scene.roundTrip();
    expect(scene.upstream.uploads).toEqual([]);
    // Counted under the source whose word counts, not as a size that nobody told.
    const sizeSource = SIZE in headers ? "header" : "hint";
    expect((await scene.proxy.uploads()).finished[0]).toMatchObject({ sizeSource });
  });
});

describe("size.reframe: false", () => {
  it("a chunked body stays chunked, with its size in the header, and is counted", async () => {
    const proxy = await scene.startAnother({ size: { reframe: false } });
    const peer = await scene.startUpload({ [SIZE]: 5 }, FILE, proxy.port);
    peer.sendChunk("hello").endChunks();
    expect((await peer.response()).status).toBe(204);
    const [upload] = scene.upstream.uploads;
    expect(upload).toMatchObject({ bytes: 5, complete: true });
    expect(upload?.headers).toMatchObject({ [SIZE]: "5", "transfer-encoding": "chunked" });
    expect(upload?.headers).not.toHaveProperty("content-length");
    expect(await proxy.metric('reframed_uploads_total{operation="file"}')).toBe(0);
  });

  it.each([
    ["one over", "hello!", "Size exceeds: expected 5 bytes, got 6 bytes"],
    ["one short", "hell", "Size mismatch: expected 5 bytes, got 4 bytes"],
  ])("%s is refused, and not one byte over goes on", async (_, body, explanation) => {
    const proxy = await scene.startAnother({ size: { reframe: false } });
    const peer = await scene.startUpload({ [SIZE]: 5 }, FILE, proxy.port);
    for (const byte of body) peer.sendChunk(byte);
    peer.endChunks();
    const answer = await peer.response();
    expect(answer.status).toBe(400);
    expect(answer.text).toContain(explanation);
    const upload = await scene.uploadUpstream();
    await upload.over;
    expect(upload.complete).toBe(false);
    expect(upload.bytes).toBeLessThanOrEqual(5);
  });

  it("a Content-Length body keeps its Content-Length", async () => {
    const proxy = await scene.startAnother({ size: { reframe: false } });
    expect((await request(proxy.port, "PUT", FILE, { body: "hello" })).status).toBe(204);
    expect(scene.upstream.uploads[0]?.headers).toMatchObject({ "content-length": "5", [SIZE]: "5" });
  });
});

describe("an empty image", () => {
  it.each([
    ["without any framing", {}],
    ["with Content-Length: 0", { "Content-Length": 0 }],
  ])("%s is forwarded with a size of 0 bytes", async (_, headers) => {
    expect((await request(scene.proxy.port, "PUT", FILE, { headers })).status).toBe(204);
    expect(scene.upstream.uploads).toMatchObject([
      { bytes: 0, complete: true, headers: { "content-length": "0", [SIZE]: "0" } },
    ]);
  });
});
