/** Each request has a connection to Glance of its own: nothing that a Glance sends behind an answer can reach another client. */
import { once } from "node:events";
import net from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { startProxy, type TestProxy } from "../support/proxy.js";
import { connect, type HeaderValues, request } from "../support/raw-http.js";
import { FILE, useScene } from "./scene.js";

const PATH = "/v2/schemas/image";

describe("a connection to Glance", () => {
  const scene = useScene();
  const cases: [string, string, string, { body?: string; headers?: HeaderValues }][] = [
    ["GET", "GET", PATH, {}],
    ["a download", "GET", FILE, {}],
    ["HEAD", "HEAD", PATH, {}],
    ["POST", "POST", PATH, { body: "{}" }],
    ["DELETE", "DELETE", PATH, {}],
    ["a GET with a body", "GET", PATH, { body: "{}" }],
    ["an upload", "PUT", FILE, { body: "hello" }],
  ];

  it.each(cases)("carries one request and is closed: %s", async (_name, method, target, options) => {
    const ports = new Set<number | undefined>();
    scene.upstream.onOther = (incoming, response) => {
      ports.add(incoming.socket.remotePort);
      incoming.resume().once("end", () => response.end());
    };
    scene.upstream.onUpload = (incoming, response) => {
      ports.add(incoming.socket.remotePort);
      response.writeContinue();
      incoming.resume().once("end", () => response.writeHead(204).end());
    };
    const peer = await scene.connect(); // the client keeps its own
    const { body = "", headers = {} } = options;
    const framing = body === "" ? {} : { "Content-Length": body.length };
    for (let count = 0; count < 3; count += 1) {
      peer.sendHead(method, target, { ...framing, ...headers }).send(body);
      const { status } = await peer.response({ hasBody: method !== "HEAD" });
      expect(status).toBeLessThan(300);
      if (peer.socket.readableEnded) break;
      if (method === "PUT") break; // the raw relay closes the client's connection behind an upload
    }
    expect(ports.size).toBe(method === "PUT" ? 1 : 3);
    expect(new Set(scene.upstream.requests.map(({ headers: { connection } }) => connection))).toEqual(
      new Set(["close"]),
    );
  });

  it("is not retried after a reset by Glance: the client gets 502", async () => {
    scene.upstream.onOther = (incoming) => void incoming.socket.resetAndDestroy();
    expect((await request(scene.proxy.port, "GET", PATH)).status).toBe(502);
    expect(scene.upstream.requests).toHaveLength(1);
    expect(await scene.proxy.metric('upstream_errors_total{kind="reset"}')).toBe(1);
  });
});

describe("bytes that Glance sends behind the end of an answer", () => {
  const SECRET = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nSECRET";
  const CLIENTS = 50;
  const REQUESTS_EACH = 20;
  let proxy: TestProxy | undefined;
  let server: net.Server | undefined;
  afterEach(() => {
    proxy?.stop();
    server?.close();
  });

  /** Answers each request by its number and goes on sending, `lateMs` later, on a connection that it never closes itself. */
  async function startTalkative(lateMs: () => number): Promise<string> {
    server = net.createServer((socket) => {
      let text = "";
      socket.on("error", () => undefined);
      socket.on("data", (piece) => {
        text += piece.toString("latin1");
        for (let end; (end = text.indexOf("\r\n\r\n")) !== -1; text = text.slice(end + 4)) {
          const name = /^GET (\S+)/.exec(text)?.[1] ?? "";
          socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${name.length}\r\n\r\n${name}`);
          const late = lateMs();
          if (late === 0) socket.write(SECRET);
          else setTimeout(() => socket.writable && socket.write(SECRET), late).unref();
        }
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`;
  }

  it.each([
    ["at once", () => 0],
    ["10 ms late", () => 10],
    ["at any time up to 2 s late", () => Math.random() * 2_000],
  ])("%s reach none of 1,000 other clients", async (_name, lateMs) => {
    proxy = await startProxy(await startTalkative(lateMs));
    const { port } = proxy;
    const clients = Array.from({ length: CLIENTS }, async (_, client) => {
      const peer = await connect(port);
      const answers: string[] = [];
      for (let count = 0; count < REQUESTS_EACH; count += 1) {
        const target = `/v2/images/${client}-${count}`;
        peer.sendHead("GET", target);
        const { text } = await peer.response();
        if (text !== target) answers.push(text);
      }
      answers.push(peer.unread.toString());
      peer.destroy();
      return answers.join("");
    });
    expect((await Promise.all(clients)).join("")).toBe("");
  });
});
