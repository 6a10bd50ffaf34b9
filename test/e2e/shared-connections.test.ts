/** Connections to Glance are shared by requests that may be sent twice, and by no others. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { beforeEach, describe, expect, test } from "vitest";
import { request, type HeaderValues } from "../support/raw-http.js";
import { startRecordingUpstream, type UploadScript } from "../support/recording-upstream.js";
import { FILE, useScene } from "./scene.js";

const scene = useScene();
const PATH = "/v2/schemas/image";

/** The connection of each request. */
let sockets: Socket[] = [];
beforeEach(() => {
  sockets = [];
  const answer = scene.upstream.onOther;
  scene.upstream.onOther = (incoming, response) => {
    sockets.push(incoming.socket);
    answer(incoming, response);
  };
  scene.upstream.onUpload = (incoming, response) => {
    sockets.push(incoming.socket);
    response.writeContinue();
    incoming.resume().once("end", () => response.writeHead(204).end());
  };
});

/** What comes second on a connection meets this; everything else is answered. */
function onSecond(script: UploadScript): void {
  const answer = scene.upstream.onOther;
  scene.upstream.onOther = (incoming, response) => {
    if (sockets.includes(incoming.socket)) script(incoming, response);
    else answer(incoming, response);
  };
}

test("a GET takes the connection of the one before it", async () => {
  for (let count = 0; count < 3; count += 1) {
    expect((await request(scene.proxy.port, "GET", PATH)).text).toBe(`GET ${PATH}`);
  }
  expect(sockets).toHaveLength(3);
  expect(new Set(sockets).size).toBe(1);
});

const others: [string, string, string, { body?: string; headers?: HeaderValues }][] = [
  ["HEAD", "HEAD", PATH, {}],
  ["POST", "POST", PATH, { body: "{}" }],
  ["DELETE", "DELETE", PATH, {}],
  ["a GET with a body", "GET", PATH, { body: "{}" }],
  [
    "a GET with a chunked body",
    "GET",
    PATH,
    { body: "0\r\n\r\n", headers: { "Transfer-Encoding": "chunked" } },
  ],
  ["an upload", "PUT", FILE, { body: "hello" }],
];

test.each(others)("%s has one of its own", async (_name, method, target, options) => {
  await request(scene.proxy.port, "GET", PATH);
  expect((await request(scene.proxy.port, method, target, options)).status).toBeLessThan(300);
  expect((await request(scene.proxy.port, method, target, options)).status).toBeLessThan(300);
  expect(new Set(sockets).size).toBe(3);
  expect(scene.upstream.requests.map(({ headers }) => headers.connection)).toEqual([
    "keep-alive",
    "close",
    "close",
  ]);
});

test("an idle one is closed, also where Glance would keep it for ever", async () => {
  const server = createServer({ keepAliveTimeout: 0 });
  const patient = await startRecordingUpstream(server);
  const connected = once(server, "connection") as Promise<[Socket]>;
  const proxy = await scene.startAnother({}, patient.url);
  await request(proxy.port, "GET", PATH);
  const [socket] = await connected;
  await once(socket, "end", { signal: AbortSignal.timeout(20_000) });
  await patient.stop();
});

test("one that is waited on is not idle", async () => {
  await request(scene.proxy.port, "GET", PATH);
  scene.upstream.onOther = (incoming, response) => {
    sockets.push(incoming.socket);
    setTimeout(() => response.end("late"), 5_000);
  };
  expect((await request(scene.proxy.port, "GET", PATH)).text).toBe("late");
  expect(scene.upstream.requests).toHaveLength(2);
  expect(new Set(sockets).size).toBe(1);
});

describe("a GET on a connection that Glance closes just then", () => {
  test.each([
    ["in an orderly way", (socket: Socket) => socket.end()],
    ["by a reset", (socket: Socket) => socket.resetAndDestroy()],
  ])("%s, is sent once more", async (_name, close) => {
    onSecond((incoming) => close(incoming.socket));
    await request(scene.proxy.port, "GET", PATH);
    const answer = await request(scene.proxy.port, "GET", `${PATH}?again`);
    expect(answer.text).toBe(`GET ${PATH}?again`);
    expect(scene.upstream.requests.map(({ target }) => target)).toEqual([
      PATH,
      `${PATH}?again`,
      `${PATH}?again`,
    ]);
    expect(await scene.proxy.metric('upstream_errors_total{kind="reset"}')).toBe(0);
  });

  test("at any moment, gets its answer", async () => {
    scene.upstream.onOther = (incoming, response) => {
      response.end("here");
      setTimeout(() => incoming.socket.end(), 5);
    };
    const clients = Array.from({ length: 20 }, async (_, client) => {
      const peer = await scene.connect();
      const texts = new Set<string>();
      for (let count = 0; count < 30; count += 1) {
        peer.sendHead("GET", PATH);
        texts.add((await peer.response()).text);
        await delay(3 + ((client + count) % 5));
      }
      return [...texts];
    });
    expect(new Set((await Promise.all(clients)).flat())).toEqual(new Set(["here"]));
  });

  test("with its answer begun, is cut short as that is", async () => {
    onSecond((incoming, response) => {
      response.writeHead(200, { "content-length": 10 }).write("hello");
      setImmediate(() => incoming.socket.resetAndDestroy());
    });
    await request(scene.proxy.port, "GET", PATH);
    await expect(request(scene.proxy.port, "GET", PATH)).rejects.toThrow("after 5 bytes");
    expect(scene.upstream.requests).toHaveLength(2);
  });
});

test("on a new connection it is not sent again", async () => {
  scene.upstream.onOther = (incoming) => void incoming.socket.resetAndDestroy();
  expect((await request(scene.proxy.port, "GET", PATH)).status).toBe(502);
  expect(scene.upstream.requests).toHaveLength(1);
  expect(await scene.proxy.metric('upstream_errors_total{kind="reset"}')).toBe(1);
});

test("bytes that nobody asked for are nobody's answer", async () => {
  const { onOther } = scene.upstream;
  scene.upstream.onOther = (incoming, response) => {
    onOther(incoming, response);
    setTimeout(() => incoming.socket.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nSECRET"), 20);
  };
  await request(scene.proxy.port, "GET", PATH);
  await once(sockets[0] as Socket, "close", { signal: AbortSignal.timeout(3_000) });
  scene.upstream.onOther = onOther;
  expect((await request(scene.proxy.port, "GET", PATH)).text).toBe(`GET ${PATH}`);
});
