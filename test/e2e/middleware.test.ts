/** The proxy as Express middleware, in an app and on a server of the user's own. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { PassThrough } from "node:stream";
import express, { type Express } from "express";
import onHeaders from "on-headers-before-1.1";
import { Registry } from "prom-client";
import { afterEach, describe, expect, it } from "vitest";
import { ConfigError, type ConfigInput, createGlanceSizeProxy, type Log } from "../../src/index.js";
import { request } from "../support/raw-http.js";
import { startRecordingUpstream } from "../support/recording-upstream.js";
import { CHUNKED, FILE, neverContinue, SIZE, useScene } from "./scene.js";

const scene = useScene();
const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
});

function middleware(config: Partial<ConfigInput> = {}, registry?: Registry) {
  return createGlanceSizeProxy(
    { upstream: { url: scene.upstream.url }, ...config },
    { log: silent, ...(registry ? { registry } : {}) },
  );
}

/** The outcomes of at least one upload each. */
async function countedOutcomes({ registry }: { registry: Registry }): Promise<string[]> {
  const text = await registry.getSingleMetricAsString("glance_size_proxy_uploads_total");
  return Array.from(text.matchAll(/outcome="(\w+)".* [1-9]\d*$/gm), ([, outcome]) => outcome ?? "");
}

async function listen(app: Express): Promise<number> {
  const server = createServer({ requestTimeout: 0 }, app).on("checkContinue", app);
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

describe.each([
  ["at the root", "/", ""],
  ["at a path", "/image", "/image"],
])("mounted %s", (_, mount, prefix) => {
  it("the proxy enforces the size of uploads, and passes other requests on", async () => {
    const app = express()
      .get("/of-my-own", (_request, response) => void response.send("mine"))
      .use(mount, middleware());
    const port = await listen(app);

    const exact = await scene.startUpload({ [SIZE]: 5 }, prefix + FILE, port);
    exact.sendChunk("hello").endChunks();
    expect((await exact.response()).status).toBe(204);
    const [first] = scene.upstream.uploads;
    expect(first).toMatchObject({ target: FILE, bytes: 5, complete: true });
    expect(first?.headers).toMatchObject({ "content-length": "5", [SIZE]: "5" });

    const over = await scene.startUpload({ [SIZE]: 5 }, prefix + FILE, port);
    over.sendChunk("hello!").endChunks();
    const refusal = await over.response();
    expect(refusal.status).toBe(400);
    expect(refusal.text).toContain("Size exceeds: expected 5 bytes, got 6 bytes");
    await scene.upstream.uploads[1]?.over;
    expect(scene.upstream.uploads[1]?.complete).toBe(false);

    const passed = await request(port, "GET", `${prefix}/v2/images?marker=a//b`);
    expect(passed.text).toBe("GET /v2/images?marker=a//b");
    expect((await request(port, "GET", "/of-my-own")).text).toBe("mine");
  });

  it("the proxy refuses a bad upload before 100 Continue, and sends 100 for others", async () => {
    const port = await listen(express().use(mount, middleware()));
    const bad = await scene.startUpload({ [SIZE]: "x", Expect: "100-continue" }, prefix + FILE, port);
    expect((await bad.response()).status).toBe(400);
    expect(bad.interims).toEqual([]);
    const good = await scene.startUpload({ [SIZE]: 5, Expect: "100-continue" }, prefix + FILE, port);
    expect((await good.interim()).status).toBe(100);
  });

  it.each([true, false])(
    "an upload is logged only if the log takes its level (takes it: %s)",
    async (isWanted) => {
      const messages: string[] = [];
      const log: Log = {
        ...silent,
        info: (_fields, message) => void messages.push(message),
        isLevelEnabled: (level) => level !== "info" || isWanted,
      };
      const proxy = createGlanceSizeProxy({ upstream: { url: scene.upstream.url } }, { log });
      const port = await listen(express().use(mount, proxy));
      const exact = await scene.startUpload({ [SIZE]: 5 }, prefix + FILE, port);
      exact.sendChunk("hello").endChunks();
      expect((await exact.response()).status).toBe(204);
      await expect.poll(() => proxy.uploads().finished.length).toBe(1);
      expect(messages.filter((message) => message === "upload")).toEqual(isWanted ? ["upload"] : []);
      expect(await countedOutcomes(proxy)).toEqual(["completed"]);
    },
  );

  it("another spelling of an upload does not bypass the proxy", async () => {
    const port = await listen(express().use(mount, middleware()));
    for (const target of [
      `${prefix}//v2//images/one//%66ile`,
      `${prefix}/v2/images/x/../one/file`,
      `${prefix}/%762/images/one/file`,
    ]) {
      const answer = await request(port, "PUT", target, {
        headers: { ...CHUNKED, [SIZE]: 5 },
        body: "1\r\nx\r\n0\r\n\r\n",
      });
      expect(answer.status).toBe(400);
    }
    expect(scene.upstream.uploads.every(({ complete }) => !complete)).toBe(true);
  });

  it("repeated headers of Glance arrive, also behind an app that sets some of its own", async () => {
    scene.upstream.onOther = (_incoming, response) => {
      response.writeHead(200, ["Set-Cookie", "a=1", "Set-Cookie", "b=2", "Content-Length", "0"]);
      response.end();
    };
    const app = express().use((_request, response, next) => {
      response.setHeader("X-Mine", "1");
      next();
    });
    const port = await listen(app.use(mount, middleware()));
    const answer = await request(port, "GET", `${prefix}/v2/images`);
    expect(answer.headers["x-mine"]).toBe("1");
    const cookies = answer.rawHeaders.filter(([name]) => name.toLowerCase() === "set-cookie");
    expect(cookies.map(([, value]) => value)).toEqual(["a=1", "b=2"]);
  });
});

it("two proxies in one process do not affect each other", async () => {
  const other = await startRecordingUpstream();
  try {
    const one = middleware({ limits: { maxImageSize: 4 } });
    const two = middleware({ upstream: { url: other.url } });
    const port = await listen(express().use("/one", one).use("/two", two));
    expect((await request(port, "PUT", `/one${FILE}`, { body: "hello" })).status).toBe(413);
    expect((await request(port, "PUT", `/two${FILE}`, { body: "hello" })).status).toBe(204);
    expect(scene.upstream.uploads).toEqual([]);
    expect(other.uploads).toMatchObject([{ target: FILE, bytes: 5, complete: true }]);
    expect(one.uploads().finished).toMatchObject([{ outcome: "too_large" }]);
    expect(two.uploads().finished).toMatchObject([{ outcome: "completed" }]);
    expect(await countedOutcomes(one)).toEqual(["too_large"]);
    expect(await countedOutcomes(two)).toEqual(["completed"]);
    // One in front of the other is no loop.
    const chain = await listen(
      express().use(middleware({ upstream: { url: `http://127.0.0.1:${port}/two` } })),
    );
    expect((await request(chain, "PUT", FILE, { body: "hello" })).status).toBe(204);
  } finally {
    await other.stop();
  }
});

it("the middleware registers its metrics in the given registry", async () => {
  const registry = new Registry();
  const proxy = middleware({}, registry);
  expect(proxy.registry).toBe(registry);
  const port = await listen(express().use(proxy));
  await request(port, "PUT", FILE, { body: "hello" });
  expect(await registry.metrics()).toContain(
    'glance_size_proxy_uploads_total{operation="file",outcome="completed",size_source="content_length"} 1',
  );
});

it("the middleware lists its uploads in flight", async () => {
  const proxy = middleware();
  const port = await listen(express().use(proxy));
  const peer = await scene.startUpload({ [SIZE]: 5 }, FILE, port);
  await scene.uploadUpstream();
  expect(proxy.uploads().inFlight).toMatchObject([
    { imageId: "one", declaredBytes: 5, sizeSource: "header" },
  ]);
  peer.sendChunk("hello").endChunks();
  await peer.response();
  expect(proxy.uploads()).toMatchObject({ inFlight: [], finished: [{ outcome: "completed" }] });
});

it("the middleware checks a digest that comes as a trailer", async () => {
  const port = await listen(express().use(middleware()));
  const upload = async (digest: string) => {
    const peer = await scene.startUpload({ [SIZE]: 5, Trailer: "Content-Digest" }, FILE, port);
    peer.sendChunk("hello").send(`0\r\nContent-Digest: sha-256=:${digest}:\r\n\r\n`);
    return (await peer.response()).text;
  };
  const digest = createHash("sha256").update("hello").digest("base64");
  expect(await upload(digest)).toBe("");
  expect(await upload(digest.replace(/^./, (first) => (first === "A" ? "B" : "A")))).toContain(
    "Digest mismatch: ",
  );
});

it("a body parser in front of the middleware is detected, and creates no empty image", async () => {
  const app = express().use(express.raw({ type: () => true }), middleware());
  const port = await listen(app);
  const peer = await scene.startUpload({ [SIZE]: 5 }, FILE, port);
  peer.sendChunk("hello").endChunks();
  expect((await peer.response()).status).toBe(500);
  expect(scene.upstream.uploads).toEqual([]);
});

it("if middleware fails while an answer ends, only that answer is lost", async () => {
  let fails = true;
  const app = express()
    .use((_request, response, next) => {
      const end = response.end.bind(response) as () => typeof response;
      response.end = () => {
        if (!fails) return end();
        fails = false;
        throw new Error("a fault of the middleware");
      };
      next();
    })
    .use(middleware());
  const port = await listen(app);
  const upload = () => request(port, "PUT", FILE, { body: "hello" });
  await expect(upload()).rejects.toThrow();
  expect((await upload()).status).toBe(204);
});

it("the middleware refuses an invalid configuration with every fault", () => {
  let error: unknown;
  try {
    createGlanceSizeProxy({
      upstream: { url: "glance:9292" },
      size: { unknown: "guess" },
    } as unknown as ConfigInput);
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(ConfigError);
  expect((error as ConfigError).faults.map((fault) => fault.split(/[ :]/)[0])).toEqual([
    "upstream.url",
    "size.unknown",
  ]);
});

it.each([
  [
    "set the body flowing",
    (request: IncomingMessage, next: () => void) => {
      request.pause();
      setImmediate(() => {
        request.resume();
        next();
      });
    },
  ],
  [
    "watches the body go by",
    (request: IncomingMessage, next: () => void) => {
      request.on("data", () => undefined).pause();
      next();
    },
  ],
])("not a byte is lost behind a middleware that %s", async (_, act) => {
  scene.upstream.onUpload = neverContinue;
  const port = await listen(
    express()
      .use((request, _response, next) => act(request, next))
      .use(middleware()),
  );
  const peer = await scene.startUpload({}, FILE, port);
  peer.sendChunk("hello ");
  await scene.uploadUpstream();
  peer.sendChunk("world").endChunks();
  expect((await peer.response()).status).toBe(204);
  expect(scene.upstream.uploads).toMatchObject([{ bytes: 11, complete: true }]);
});

describe("behind middleware that wraps writeHead (on-headers before 1.1.0: morgan, compression, response-time)", () => {
  it.each([
    ["GET", "/v2/images", 200],
    ["PUT", FILE, 204],
    ["PUT", `${FILE}?_method=PUT`, 400],
  ])("%s %s is answered %i with every header of Glance's", async (method, target, status) => {
    scene.upstream.onOther = (_incoming, response) => {
      response.setHeader("set-cookie", ["one=1", "two=2"]).setHeader("x-of-glance", "yes").end("whole");
    };
    const heard: number[] = [];
    const app = express()
      .use((_request, response, next) => {
        onHeaders(response, function () {
          heard.push(this.statusCode);
          this.setHeader("x-of-mine", "yes");
        });
        next();
      })
      .use(middleware());
    const port = await listen(app);
    const body = method === "PUT" ? { body: "hello" } : {};
    const answer = await request(port, method, target, body);
    expect([answer.status, answer.headers["x-of-mine"]]).toEqual([status, "yes"]);
    expect(heard).toEqual([status]);
    if (method === "GET") {
      expect([answer.text, answer.headers["x-of-glance"]]).toEqual(["whole", "yes"]);
      const cookies = answer.rawHeaders.filter(([name]) => name.toLowerCase() === "set-cookie");
      expect(cookies.map(([, value]) => value)).toEqual(["one=1", "two=2"]);
    }
  });
});

/** As the package `compression`: it keeps no callback of `write`, and has the data until its stream has read it. */
function passThroughStream(): express.RequestHandler {
  return (_request, response, next) => {
    const stream = new PassThrough();
    const write = response.write.bind(response);
    const end = response.end.bind(response);
    stream.on("data", (piece: Buffer) => {
      stream.pause();
      setImmediate(() => {
        write(piece, () => stream.resume());
      });
    });
    stream.once("end", () => void end());
    stream.on("drain", () => response.emit("drain"));
    Object.assign(response, {
      write: (piece: Buffer) => stream.write(piece),
      end: () => void stream.end(),
    });
    next();
  };
}

it("a download arrives whole behind an app that wraps the response", async () => {
  const image = randomBytes(6 * 1024 * 1024);
  scene.upstream.onOther = (_incoming, response) => {
    response.writeHead(200, { "content-length": image.length });
    response.end(image);
  };
  const port = await listen(express().use(passThroughStream()).use(middleware()));
  const { body } = await request(port, "GET", FILE);
  expect(body.equals(image)).toBe(true);
});
