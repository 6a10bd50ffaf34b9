/**
 * Node shows JavaScript some 1,000 lines of a head, drops the rest and obeys what it dropped. Two walls stand against what could be
 * smuggled that way: the proxy sees every line or refuses the head, and a connection to Glance takes no byte that its head does not
 * announce. Each wall is tried with the other one taken out.
 */
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createServer as createTcpServer } from "node:net";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import * as requestGuard from "../../src/http/request-guard.js";
import { createGlanceSizeProxy, type GlanceSizeProxy } from "../../src/index.js";
import { createLog } from "../../src/observe/log.js";
import { NODE_CUTS_HEADS } from "../support/node-cuts-heads.js";
import { connect, type Peer } from "../support/raw-http.js";
import { type RecordingUpstream, startRecordingUpstream } from "../support/recording-upstream.js";
import { FILE, SIZE, useScene } from "./scene.js";

vi.mock(import("../../src/http/request-guard.js"), { spy: true });
const wireGuard = vi.hoisted(() => ({ on: true }));
vi.mock(import("../../src/upstream/wire-guard.js"), async (load) => {
  const original = await load();
  return {
    ...original,
    guardWire: (connection) => (wireGuard.on ? original.guardWire(connection) : connection),
  };
});
afterEach(() => {
  vi.mocked(requestGuard.isHeadWhole).mockReset();
  vi.mocked(requestGuard.requireWholeHead).mockReset();
  wireGuard.on = true;
});

const INNER = `PUT ${FILE} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello`;
const LINES: readonly (readonly [string, string])[] = [
  ["dropped names", "a_b: c\r\n".repeat(1_100)],
  ["names in Connection", `Connection: a\r\n${"a:\r\n".repeat(2_000)}`],
  ["ordinary lines", "a: b\r\n".repeat(1_100)],
  ["the longest head of short lines", "a:\r\n".repeat(15_000)],
];
const METHODS = ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "POST", "PATCH"] as const;

function smuggling(method: string, lines: string, target = "/v2/images"): string {
  return `${method} ${target} HTTP/1.1\r\nHost: a\r\n${lines}Content-Length: ${INNER.length}\r\n\r\n${INNER}`;
}

async function answersOf(peer: Peer, method: string): Promise<number[]> {
  const statuses: number[] = [];
  for (;;) {
    const answer = await peer
      .response({ hasBody: method !== "HEAD", deadlineMs: 2_000 })
      .catch(() => undefined);
    if (answer === undefined) return statuses;
    statuses.push(answer.status);
  }
}

describe("the command", () => {
  const scene = useScene();

  describe.each(LINES)("with %s", (_name, lines) => {
    it.each(METHODS)("%s: a body behind the lines stays a body", async (method) => {
      const peer = await scene.connect();
      peer.send(smuggling(method, lines)).end();
      const statuses = await answersOf(peer, method);
      expect(statuses).toHaveLength(1);
      expect(scene.upstream.uploads).toEqual([]);
      for (const { bytes } of scene.upstream.requests) expect([0, INNER.length]).toContain(bytes);
    });

    it("a declared size after the lines is enforced", async () => {
      const peer = await scene.connect();
      peer.send(`PUT ${FILE} HTTP/1.1\r\nHost: a\r\n${lines}${SIZE}: 4\r\nContent-Length: 5\r\n\r\nhello`);
      const { status, text } = await peer.response();
      expect([status, text]).toEqual([400, expect.stringContaining("Size exceeds: expected 4 bytes, got 5")]);
      expect(scene.upstream.uploads).toEqual([]);
    });

    it("a correct upload after the lines is accepted", async () => {
      const peer = await scene.connect();
      peer.send(`PUT ${FILE} HTTP/1.1\r\nHost: a\r\n${lines}${SIZE}: 5\r\nContent-Length: 5\r\n\r\nhello`);
      expect((await peer.response()).status).toBe(204);
      expect(scene.upstream.uploads).toMatchObject([{ bytes: 5, complete: true }]);
    });
  });

  it("many lines of one name cost no more than many of others", async () => {
    // Each name is looked up once; lines that were copied for every further one would take minutes.
    const peer = await scene.connect();
    peer.send(`GET /v2/images HTTP/1.1\r\nHost: a\r\n${"a:\r\n".repeat(15_000)}\r\n`);
    const { status, text } = await peer.response();
    expect([status, text]).toEqual([200, "GET /v2/images"]);
    expect(scene.upstream.requests[0]?.rawHeaders.filter((name) => name === "a")).not.toEqual([]);
  });

  it("an answer of Glance with thousands of lines is passed on whole", async () => {
    scene.upstream.onOther = (_incoming, response) => {
      for (let count = 0; count < 1_500; count += 1) response.appendHeader("x", "");
      response.setHeader("last", "here").end("whole");
    };
    const peer = await scene.connect();
    peer.sendHead("GET", "/v2/images");
    const { headers, rawHeaders, text } = await peer.response();
    expect([headers["last"], text, rawHeaders.filter(([name]) => name === "x").length]).toEqual([
      "here",
      "whole",
      1_500,
    ]);
  });

  it.each(METHODS)("without the wire's guard, %s: what was announced is a body", async (method) => {
    wireGuard.on = false;
    const { port } = await scene.startAnother({});
    const peer = await scene.connect(port);
    peer.send(smuggling(method, LINES[0]?.[1] ?? "")).end();
    await answersOf(peer, method);
    expect(scene.upstream.uploads).toEqual([]);
  });
});

describe("as middleware in the server of another program", () => {
  let upstream: RecordingUpstream;
  let proxy: GlanceSizeProxy;
  let server: Server;
  let port: number;
  beforeEach(async () => {
    upstream = await startRecordingUpstream();
    proxy = createGlanceSizeProxy({ upstream: { url: upstream.url } }, { log: createLog("silent") });
    server = createServer(proxy as RequestListener);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    port = (server.address() as AddressInfo).port;
  });
  afterEach(async () => {
    server.close();
    server.closeAllConnections();
    await upstream.stop();
  });

  async function statusesOf(bytes: string, method = "GET"): Promise<number[]> {
    const peer = await connect(port);
    // Such a server takes a client that closes its side for one that has left: the last request closes the connection instead.
    peer.send(`${bytes}GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    const statuses = await answersOf(peer, method);
    peer.destroy();
    return statuses;
  }

  it.each(LINES.slice(0, 3))("a head that was cut is answered 431: %s", async (_name, lines) => {
    for (const method of METHODS) {
      expect(await statusesOf(smuggling(method, lines), method)).toEqual([431]);
    }
    expect(
      await statusesOf(
        `PUT ${FILE} HTTP/1.1\r\nHost: a\r\n${lines}${SIZE}: 4\r\nContent-Length: 5\r\n\r\nhello`,
      ),
    ).toEqual([431]);
    expect(upstream.requests).toEqual([]);
  });

  // Else Node answers, and closes at once.
  it.runIf(NODE_CUTS_HEADS)(
    "a client that is still sending behind such a head can read the answer",
    async () => {
      const peer = await connect(port);
      peer.send(`PUT ${FILE} HTTP/1.1\r\nHost: a\r\n${LINES[2]?.[1]}Content-Length: 10000000\r\n\r\n`);
      for (let count = 0; count < 20; count += 1) peer.send(Buffer.alloc(100_000));
      const { status, headers } = await peer.response();
      expect([status, headers["connection"], peer.wasReset]).toEqual([431, "close", false]);
      peer.destroy();
    },
  );

  it.each([998, 999, 1_000, 1_023, 1_024, 1_056])(
    "%i lines: all are seen, or it is refused",
    async (count) => {
      const lines = "a: b\r\n".repeat(count - 2);
      const head = `PUT ${FILE} HTTP/1.1\r\nHost: a\r\n${lines}Content-Length: 5\r\n\r\nhello`;
      expect(await statusesOf(head)).toEqual(count < 1_000 ? [204, 200] : [431]);
      expect(upstream.uploads.map(({ bytes }) => bytes)).toEqual(count < 1_000 ? [5] : []);
    },
  );

  it("a server with maxHeadersCount = 0 shows every line, so no head is refused", async () => {
    server.maxHeadersCount = 0;
    expect(await statusesOf(smuggling("GET", LINES[0]?.[1] ?? ""))).toEqual([200, 200]);
    expect(upstream.uploads).toEqual([]);
    expect(upstream.requests.map(({ bytes }) => bytes)).toEqual([INNER.length, 0]);
  });

  it("a server with a limit of its own is measured by it", async () => {
    server.maxHeadersCount = 50;
    expect(await statusesOf(smuggling("GET", "a: b\r\n".repeat(100)))).toEqual([431]);
    expect(await statusesOf(`GET / HTTP/1.1\r\nHost: a\r\n\r\n`)).toEqual([200, 200]);
  });

  describe.runIf(NODE_CUTS_HEADS)("on a Node that cuts heads, with these let through", () => {
    beforeEach(() => {
      vi.mocked(requestGuard.isHeadWhole).mockReturnValue(true);
      vi.mocked(requestGuard.requireWholeHead).mockReturnValue(undefined);
    });

    it.each(METHODS)("%s: no byte goes to Glance that its head does not announce", async (method) => {
      // Glance would read on, whatever `Connection` says.
      const wire: string[] = [];
      const greedy = createTcpServer((socket) => {
        const number = wire.push("") - 1;
        socket.on("error", () => undefined);
        socket.on("data", (piece) => {
          wire[number] += piece.toString("latin1");
          socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        });
      });
      greedy.listen(0, "127.0.0.1");
      await once(greedy, "listening");
      const url = `http://127.0.0.1:${(greedy.address() as AddressInfo).port}`;
      server.removeAllListeners("request");
      server.on("request", createGlanceSizeProxy({ upstream: { url } }, { log: createLog("silent") }));
      for (const [, lines] of LINES.slice(0, 3)) await statusesOf(smuggling(method, lines), method);
      greedy.close();
      expect(wire.length).toBeGreaterThan(0);
      expect(wire.map((text) => text.split("\r\n\r\n").slice(1).join(""))).toEqual(wire.map(() => ""));
    });

    it("the failure is counted, and the client's connection closes", async () => {
      expect(await statusesOf(smuggling("GET", LINES[0]?.[1] ?? ""))).toEqual([502]);
      const metrics = await proxy.registry.metrics();
      expect(metrics).toContain('upstream_errors_total{kind="framing"} 1');
    });
  });
});
