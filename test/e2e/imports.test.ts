/** Imports: counted, passed on as they are, and not before what they import is there. */
import { describe, expect, it } from "vitest";
import { request } from "../support/raw-http.js";
import { CHUNKED, useScene } from "./scene.js";

const IMPORT = "/v2/images/one/import";
const DIRECT = '{"method":{"name":"glance-direct"}}';

const scene = useScene({ limits: { idleTimeout: "500ms" } });

function importsUpstream() {
  return scene.upstream.requests.filter(({ method }) => method === "POST");
}

describe.each([
  ["Content-Length", (body: string) => ({ body })],
  [
    "chunked",
    (body: string) => ({
      headers: CHUNKED,
      body: `${Buffer.byteLength(body).toString(16)}\r\n${body}\r\n0\r\n\r\n`,
    }),
  ],
])("with %s", (_framing, framed) => {
  it.each([
    ["glance-direct", DIRECT],
    ["web-download", '{"method":{"name":"web-download","uri":"http://x"}}'],
    ["other", '{"method":{"name":"of my own"}}'],
    ["other", '{"method":{"name":5}}'],
    ["other", "not json"],
    ["other", `{"method":{"name":"glance-direct"},"more":"${"x".repeat(65_536)}"}`],
    ["other", "x".repeat(1_000_000)],
  ])("an import by %s is counted and arrives as it is", async (method, body) => {
    let seen = "";
    scene.upstream.onOther = (incoming, response) => {
      incoming.setEncoding("utf8").on("data", (piece: string) => (seen += piece));
      incoming.once("end", () => response.writeHead(202).end());
    };
    const answer = await request(scene.proxy.port, "POST", IMPORT, framed(body));
    expect(answer.status).toBe(202);
    expect(seen === body).toBe(true);
    expect(importsUpstream()).toMatchObject([{ target: IMPORT, bytes: body.length, complete: true }]);
    expect(await scene.proxy.metric(`imports_total{method="${method}"}`)).toBe(1);
  });
});

it.each([{}, { "Content-Length": 0 }])(
  "an import without a body arrives without a body (%j)",
  async (headers) => {
    const peer = await scene.connect();
    peer.sendHead("POST", IMPORT, headers);
    expect((await peer.response()).status).toBe(200);
    expect(importsUpstream()).toMatchObject([{ bytes: 0, complete: true }]);
  },
);

describe("an import by glance-direct", () => {
  it("of an image that is uploading and has no size gets 409, and Glance hears nothing of it", async () => {
    scene.upstream.imageStatus = "uploading";
    const answer = await request(scene.proxy.port, "POST", IMPORT, {
      headers: { Accept: "application/json" },
      body: DIRECT,
    });
    expect(answer.status).toBe(409);
    expect(answer.text).toContain("Image one is still being staged. Wait for the stage upload to finish");
    expect(answer.headers["x-openstack-request-id"]).toMatch(/^req-/);
    expect(importsUpstream()).toEqual([]);
    expect(await scene.proxy.metric('imports_total{method="glance-direct"}')).toBe(1);
  });

  it("the image is looked up with the client's own credentials", async () => {
    const headers = { "X-Auth-Token": "of-this-client" };
    await request(scene.proxy.port, "POST", IMPORT, { headers, body: DIRECT });
    const [lookUp, passed] = scene.upstream.requests;
    expect(lookUp).toMatchObject({ method: "GET", target: "/v2/images/one" });
    expect(lookUp?.headers["x-auth-token"]).toBe("of-this-client");
    expect(passed).toMatchObject({ method: "POST" });
  });

  it.each([
    ["uploading", 5],
    ["uploading", 0],
    ["queued", null],
    ["active", 5],
  ])("of an image that is %s with size %j is passed on", async (status, size) => {
    scene.upstream.imageStatus = status;
    scene.upstream.imageSize = size;
    const answer = await request(scene.proxy.port, "POST", IMPORT, { body: DIRECT });
    expect(answer.status).toBe(200);
  });

  it("is passed on if the look-up fails", async () => {
    scene.upstream.imageStatus = "uploading";
    scene.upstream.onLookUp = (incoming) => incoming.socket.destroy();
    const answer = await request(scene.proxy.port, "POST", IMPORT, { body: DIRECT });
    expect(answer.status).toBe(200);
  });

  it("is passed on without a look-up if import.verifyStaged is false", async () => {
    scene.upstream.imageStatus = "uploading";
    const proxy = await scene.startAnother({ import: { verifyStaged: false } });
    expect((await request(proxy.port, "POST", IMPORT, { body: DIRECT })).status).toBe(200);
    expect(scene.upstream.requests.map(({ method }) => method)).toEqual(["POST"]);
  });
});

it("an import by another method looks no image up", async () => {
  await request(scene.proxy.port, "POST", IMPORT, { body: '{"method":{"name":"copy-image"}}' });
  expect(scene.upstream.requests.map(({ method }) => method)).toEqual(["POST"]);
});

describe("an import by a client that", () => {
  it("waits for 100 Continue gets it", async () => {
    const peer = await scene.connect();
    peer.sendHead("POST", IMPORT, { "Content-Length": DIRECT.length, Expect: "100-continue" });
    expect((await peer.interim()).status).toBe(100);
    peer.send(DIRECT);
    expect((await peer.response()).status).toBe(200);
    expect(peer.interims).toHaveLength(1);
  });

  it("stops in the middle of the body gets 408", async () => {
    const peer = await scene.connect();
    peer.sendHead("POST", IMPORT, { "Content-Length": DIRECT.length }).send(DIRECT.slice(0, 10));
    expect((await peer.response()).status).toBe(408);
    expect(scene.upstream.requests).toEqual([]);
  });

  it("goes away in the middle of the body leaves nothing behind", async () => {
    const peer = await scene.connect();
    peer.sendHead("POST", IMPORT, { "Content-Length": DIRECT.length }).send(DIRECT.slice(0, 10));
    await peer.flushed();
    peer.destroy();
    await expect.poll(() => scene.proxy.metric('requests_total{method="POST",status="499"}')).toBe(1);
    expect(importsUpstream()).toEqual([]);
  });

  it("sends the next request behind it gets both answers", async () => {
    const peer = await scene.connect();
    peer.sendHead("POST", IMPORT, { "Content-Length": DIRECT.length }).send(DIRECT);
    peer.sendHead("GET", "/v2/schemas/image");
    expect((await peer.response()).text).toBe(`POST ${IMPORT}`);
    expect((await peer.response()).text).toBe("GET /v2/schemas/image");
  });
});

describe("with a guard", () => {
  const TASKS = "/v2/tasks";
  const LONG = "x".repeat(70_000);
  const webDownload = (uri: string): string => JSON.stringify({ method: { name: "web-download", uri } });
  const task = (uri: string): string => JSON.stringify({ type: "import", input: { import_from: uri } });
  const config = {
    import: {
      methods: ["glance-direct", "web-download"],
      webDownload: { hosts: ["*.example.org", "10.0.0.0/8"] },
    },
  };

  async function post(target: string, body: string, isChunked = false) {
    const proxy = await scene.startAnother(config);
    const answer = await request(proxy.port, "POST", target, {
      headers: isChunked ? CHUNKED : {},
      body: Buffer.from(isChunked ? `${Buffer.byteLength(body).toString(16)}\r\n${body}\r\n0\r\n\r\n` : body),
    });
    return { proxy, answer };
  }

  it.each([
    [403, "method", IMPORT, '{"method":{"name":"copy-image"}}'],
    [403, "host", IMPORT, webDownload("http://example.net/image")],
    [403, "address", IMPORT, webDownload("http://127.1/image")],
    [403, "uri", IMPORT, webDownload("http://a\\@b.example.org/image")],
    [403, "scheme", IMPORT, webDownload("file:///etc/passwd")],
    [403, "host", TASKS, task("http://example.net/image")],
    [403, "host", "//v2/%74asks?a", task("http://example.net/image")],
    [400, "body", IMPORT, "{"],
    [400, "body", IMPORT, ""],
    [400, "body", TASKS, `\uFEFF${task("http://a.example.org/")}`],
    [413, "body", IMPORT, `{"method":{"name":"glance-direct"},"more":"${LONG}"}`],
    [413, "body", TASKS, LONG],
  ])("answers %i and counts %s for POST %s of %j", async (status, reason, target, body) => {
    for (const isChunked of [false, true]) {
      const { proxy, answer } = await post(target, body, isChunked && body !== "");
      expect(answer.status).toBe(status);
      expect(await proxy.metric(`imports_refused_total{reason="${reason}"}`)).toBe(1);
      expect(proxy.logged).toContainEqual(expect.objectContaining({ msg: "import refused", reason }));
    }
    expect(importsUpstream()).toEqual([]);
  });

  it.each([
    [IMPORT, DIRECT],
    [IMPORT, webDownload("https://a.example.org/image?a=b")],
    [IMPORT, ` ${webDownload("http://10.1/\u0061")}\n`],
    [TASKS, task("http://10.0.0.1/image")],
  ])("passes on POST %s of %s as it is", async (target, body) => {
    let seen = "";
    scene.upstream.onOther = (incoming, response) => {
      incoming.setEncoding("utf8").on("data", (piece: string) => (seen += piece));
      incoming.once("end", () => response.writeHead(202).end());
    };
    for (const isChunked of [false, true]) {
      seen = "";
      expect((await post(target, body, isChunked)).answer.status).toBe(202);
      expect(seen).toBe(body);
    }
  });

  it("shows the client why, and the log neither the query nor the user of the URI", async () => {
    const { proxy, answer } = await post(IMPORT, webDownload("http://me:secret@127.0.0.1/image?key=secret"));
    expect(answer.text).toContain("An import from this URI is not allowed here: it has user information");
    const other = await post(IMPORT, webDownload("http://127.0.0.1/image?key=secret"));
    expect(other.answer.text).toContain("127.0.0.1 is not a public host");
    const lines = JSON.stringify([proxy.logged, other.proxy.logged]);
    expect(lines).toContain("http://127.0.0.1/image");
    expect(lines).not.toContain("secret");
  });
});

it("a task is passed on as it is if nothing is restricted", async () => {
  const answer = await request(scene.proxy.port, "POST", "/v2/tasks", { body: "not json" });
  expect(answer.status).toBe(200);
  expect(importsUpstream()).toMatchObject([{ target: "/v2/tasks", bytes: 8, complete: true }]);
});
