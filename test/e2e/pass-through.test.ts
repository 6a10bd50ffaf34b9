/** What is no upload goes through as it is: request and answer. */
import { describe, expect, it } from "vitest";
import { relayUnderTest } from "../support/proxy.js";
import { connect, request } from "../support/raw-http.js";
import { FILE, useScene } from "./scene.js";

const scene = useScene();

describe("a request that is not an upload:", () => {
  it.each(["GET", "POST", "PATCH", "DELETE", "OPTIONS", "HEAD"])(
    "%s arrives with its method",
    async (method) => {
      const answer = await request(scene.proxy.port, method, "/v2/images/one/members/two");
      expect(answer.status).toBe(200);
      if (method === "HEAD") expect(answer.body).toHaveLength(0);
      else expect(answer.text).toBe(`${method} /v2/images/one/members/two`);
      expect(scene.upstream.requests).toMatchObject([{ method, bytes: 0, complete: true }]);
    },
  );

  it.each([
    "/v2/images?limit=2&marker=a//b&sort=name:asc,size:desc",
    "/v2/images?uri=http://one.test//x&other=https://two.test///y",
    "/v2/images?name=%2F%2f%20+%C3%A9&empty=&=&&x",
    "/v2/images?a=b?c=d?e",
    "/v2/images?",
    "/v2/images?c='\"<>|{}^`",
    "/v2/images?x=../..;y=/./",
    "/v2/tasks/a@b:80/c%20d;e=f",
    "/v2/images/http:/x",
    "/",
  ])("%s arrives unchanged", async (target) => {
    expect((await request(scene.proxy.port, "GET", target)).status).toBe(200);
    expect(scene.upstream.requests[0]?.target).toBe(target);
  });

  it("a target is appended to the path of upstream.url unchanged", async () => {
    const below = await scene.startAnother({}, `${scene.upstream.url}/image/`);
    await request(below.port, "GET", "/v2/images?marker=a//b");
    await request(below.port, "PUT", "/v2/images/one/file", { body: "hello" });
    expect(scene.upstream.requests.map(({ target }) => target)).toEqual([
      "/image/v2/images?marker=a//b",
      "/image/v2/images/one/file",
    ]);
  });

  it.each(["POST", "PATCH", "GET"])("%s with a chunked body arrives with its body", async (method) => {
    const peer = await scene.connect();
    peer.sendHead(method, "/v2/images", {
      "Transfer-Encoding": "chunked",
      "Content-Type": "application/json",
    });
    peer.sendChunk("{").sendChunk("}").endChunks();
    expect((await peer.response()).status).toBe(200);
    expect(scene.upstream.requests).toMatchObject([{ method, bytes: 2, complete: true }]);
    expect(scene.upstream.requests[0]?.headers["transfer-encoding"]).toBe("chunked");
    expect(scene.upstream.requests[0]?.headers).not.toHaveProperty("content-length");
  });

  it.each(["POST", "PATCH", "GET", "DELETE", "OPTIONS"])(
    "%s with a Content-Length arrives with its body",
    async (method) => {
      const answer = await request(scene.proxy.port, method, "/v2/images", { body: '{"a":1}' });
      expect(answer.status).toBe(200);
      expect(scene.upstream.requests).toMatchObject([
        { method, bytes: 7, complete: true, headers: { "content-length": "7" } },
      ]);
    },
  );

  it("PUT arrives with its body, without a size header", async () => {
    await request(scene.proxy.port, "PUT", "/v2/images/one/members/two", { body: "{}" });
    expect(scene.upstream.requests).toMatchObject([{ method: "PUT", bytes: 2, complete: true }]);
    expect(scene.upstream.requests[0]?.headers).not.toHaveProperty("x-openstack-image-size");
    expect(await scene.proxy.metric('uploads_in_flight{operation="file"}')).toBe(0);
    expect((await scene.proxy.uploads()).finished).toEqual([]);
  });

  it("POST without a body arrives without one", async () => {
    expect((await request(scene.proxy.port, "POST", "/v2/images/one/actions/deactivate")).status).toBe(200);
    expect(scene.upstream.requests[0]?.headers["transfer-encoding"]).toBeUndefined();
  });

  it("a large body arrives whole", async () => {
    const body = Buffer.alloc(5 * 1024 * 1024, "x");
    expect((await request(scene.proxy.port, "POST", "/v2/images", { body })).status).toBe(200);
    expect(scene.upstream.requests).toMatchObject([{ bytes: body.length, complete: true }]);
  });

  it.each([
    ["", ""],
    ["*/*", "*/*"],
  ])("its Accept of %j stays as it is", async (accept, seen) => {
    await request(scene.proxy.port, "GET", "/v2/images", { headers: { Accept: accept } });
    expect(scene.upstream.requests[0]?.headers["accept"]).toBe(seen);
  });

  it("a missing Accept stays missing", async () => {
    await request(scene.proxy.port, "GET", "/v2/images");
    expect(scene.upstream.requests[0]?.headers).not.toHaveProperty("accept");
  });

  it.each(["GET", "PUT"])("a header of any name is kept, %s", async (method) => {
    const target = method === "PUT" ? FILE : "/v2/images";
    await request(scene.proxy.port, method, target, { headers: { Constructor: "1", ToString: "2" } });
    const lines = scene.upstream.requests[0]?.rawHeaders ?? [];
    const valuesOf = (name: string) => lines.filter((_, index) => lines[index - 1]?.toLowerCase() === name);
    expect(valuesOf("constructor")).toEqual(["1"]);
    expect(valuesOf("tostring")).toEqual(["2"]);
  });

  it("repeated headers are kept", async () => {
    await request(scene.proxy.port, "GET", "/v2/images", { headers: { "X-Image-Meta-A": ["1", "2"] } });
    const raw = scene.upstream.requests[0]?.rawHeaders ?? [];
    expect(raw.filter((_, index) => raw[index - 1]?.toLowerCase() === "x-image-meta-a")).toEqual(["1", "2"]);
  });

  it("a Trailer header and the trailers are dropped, and the request is served", async () => {
    const peer = await scene.connect();
    peer.sendHead("POST", "/v2/images", { "Transfer-Encoding": "chunked", Trailer: "X-Sum" });
    peer.sendChunk("{}").send("0\r\nX-Sum: 1\r\n\r\n");
    expect((await peer.response()).status).toBe(200);
    expect(scene.upstream.requests[0]?.headers).not.toHaveProperty("trailer");
    expect((await request(scene.proxy.port, "GET", "/v2/images")).status).toBe(200);
  });

  it("an early refusal by Glance reaches a client that still sends its body", async () => {
    scene.upstream.onOther = (incoming, response) => {
      incoming.resume();
      response.writeHead(401, { "content-length": 12 }).write("who are you?");
      incoming.once("end", () => response.end());
    };
    const peer = await scene.connect();
    const piece = Buffer.alloc(1024 * 1024, "x");
    peer.sendHead("POST", "/v2/images", { "Content-Length": 8 * piece.length }).send(piece);
    expect(await peer.response()).toMatchObject({ status: 401, text: "who are you?" });
    for (let sent = 1; sent < 8; sent += 1) peer.send(piece);
    await peer.flushed();
    expect(peer.wasReset).toBe(false);
  });

  it("a second request on the same connection is served", async () => {
    const peer = await scene.connect();
    for (const target of ["/v2/images", "/versions", "/v2/schemas/image"]) {
      peer.sendHead("GET", target);
      expect((await peer.response()).text).toBe(`GET ${target}`);
    }
    peer.sendHead("PUT", "/v2/images/one/file", { "Content-Length": 5 }).send("hello");
    expect((await peer.response()).status).toBe(204);
    if (relayUnderTest() === "raw") return void expect(await peer.closed()).toBe("fin");
    peer.sendHead("GET", "/versions");
    expect((await peer.response()).status).toBe(200);
  });
});

describe("an answer to a request that is not an upload", () => {
  const answer = (status: number, headers: string[], body = "", phrase?: string): void => {
    scene.upstream.onOther = (incoming, response) => {
      incoming.resume();
      if (phrase === undefined) response.writeHead(status, headers);
      else response.writeHead(status, phrase, headers);
      response.end(body);
    };
  };

  it.each([
    [204, "No Content"],
    [304, "Not Modified"],
  ])("%i has no body and waits for none", async (status, phrase) => {
    answer(status, ["ETag", '"x"']);
    const peer = await scene.connect();
    peer.sendHead("GET", "/v2/images/two/file");
    expect(await peer.response()).toMatchObject({ status, statusText: phrase, headers: { etag: '"x"' } });
    peer.sendHead("GET", "/v2/images/two/file");
    expect((await peer.response()).status).toBe(status);
  });

  it("reaches a client that is still sending, even without a body", async () => {
    scene.upstream.onOther = (_incoming, response) => response.writeHead(401, { "content-length": 0 }).end();
    const peer = await scene.connect();
    peer.sendHead("POST", "/v2/images", { "Content-Length": 100 }).send("{");
    expect((await peer.response({ deadlineMs: 3_000 })).status).toBe(401);
  });

  it("keeps its Content-Length if it is to HEAD", async () => {
    answer(200, ["Content-Length", "123456"]);
    const head = await request(scene.proxy.port, "HEAD", "/v2/images/one/file");
    expect(head.headers["content-length"]).toBe("123456");
    expect(head.body).toHaveLength(0);
  });

  it("keeps its range", async () => {
    answer(206, ["Content-Range", "bytes 2-4/10", "Content-Length", "3"], "abc");
    const part = await request(scene.proxy.port, "GET", "/v2/images/one/file", {
      headers: { Range: "bytes=2-4" },
    });
    expect(scene.upstream.requests[0]?.headers["range"]).toBe("bytes=2-4");
    expect(part).toMatchObject({ status: 206, text: "abc", headers: { "content-range": "bytes 2-4/10" } });
  });

  it("keeps its repeated headers, in order", async () => {
    answer(200, ["Set-Cookie", "a=1", "X-B", "1", "Set-Cookie", "b=2", "X-B", "2"]);
    const { rawHeaders } = await request(scene.proxy.port, "GET", "/v2/images");
    const values = (wanted: string) =>
      rawHeaders.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value);
    expect(values("set-cookie")).toEqual(["a=1", "b=2"]);
    expect(values("x-b")).toEqual(["1", "2"]);
  });

  it.each(["", "Quite Alright"])("keeps its reason phrase %j", async (phrase) => {
    answer(200, [], "ok", phrase);
    const kept = await request(scene.proxy.port, "GET", "/v2/images");
    expect(kept).toMatchObject({ status: 200, statusText: phrase, text: "ok" });
  });

  it("stays compressed", async () => {
    const bytes = Buffer.from([0x1f, 0x8b, 0, 1, 2, 255]);
    scene.upstream.onOther = (_incoming, response) => {
      response.writeHead(200, { "content-encoding": "gzip" }).end(bytes);
    };
    const zipped = await request(scene.proxy.port, "GET", "/v2/images", {
      headers: { "Accept-Encoding": "gzip" },
    });
    expect(scene.upstream.requests[0]?.headers["accept-encoding"]).toBe("gzip");
    expect(zipped.headers["content-encoding"]).toBe("gzip");
    expect(zipped.body).toEqual(bytes);
  });

  it.each([300, 301, 400, 403, 404, 409, 500, 503])("%i is passed on with its body", async (status) => {
    answer(status, ["Location", "http://glance.test/v2/", "Content-Type", "x/y"], "Glance's words");
    const passed = await request(scene.proxy.port, "GET", "/v2/images");
    expect(passed).toMatchObject({ status, text: "Glance's words" });
    expect(passed.headers).toMatchObject({ location: "http://glance.test/v2/", "content-type": "x/y" });
  });

  it("has one Date, and nothing of the proxy's own but Via", async () => {
    answer(200, ["Date", "Thu, 01 Jan 1970 00:00:00 GMT", "Content-Length", "0"]);
    const { rawHeaders } = await request(scene.proxy.port, "GET", "/v2/images");
    expect(rawHeaders.map(([name]) => name.toLowerCase()).sort()).toEqual([
      "connection",
      "content-length",
      "date",
      "via",
    ]);
  });

  it("without a length reaches a client of HTTP/1.0, which knows no chunks", async () => {
    scene.upstream.onOther = (_incoming, response) => {
      response.write("hello ");
      response.end("world");
    };
    const peer = await connect(scene.proxy.port);
    peer.send("GET /v2/images HTTP/1.0\r\nHost: glance.test\r\n\r\n");
    const plain = await peer.response();
    expect(plain.text).toBe("hello world");
    expect(plain.headers).not.toHaveProperty("transfer-encoding");
    peer.destroy();
  });
});
