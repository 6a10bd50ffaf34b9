import { once } from "node:events";
import { type ClientRequest, request } from "node:http";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { guardWire, OutgoingRequest, UnannouncedBytes } from "../../src/upstream/wire-guard.js";

const HEAD = "PUT / HTTP/1.1\r\nHost: a\r\n";

/** Whether these writes, one after the other, are one request as its head announces it. */
function isAllowed(...writes: readonly string[]): boolean {
  const outgoing = new OutgoingRequest();
  try {
    for (const write of writes) outgoing.check(write, "latin1");
    return true;
  } catch (error) {
    if (error instanceof UnannouncedBytes) return false;
    throw error;
  }
}

describe("what goes to Glance behind a head that announces", () => {
  const rows: [string, string, [string, boolean][]][] = [
    [
      "nothing",
      "",
      [
        ["", true],
        ["x", false],
        ["GET / HTTP/1.1\r\n\r\n", false],
      ],
    ],
    [
      "Content-Length: 0",
      "Content-Length: 0\r\n",
      [
        ["", true],
        ["x", false],
      ],
    ],
    [
      "Content-Length: 5",
      "content-length:5\r\n",
      [
        ["hell", true],
        ["hello", true],
        ["hello!", false],
      ],
    ],
    [
      "chunks",
      "Transfer-Encoding: chunked\r\n",
      [
        ["5\r\nhello\r\n", true],
        ["5\r\nhello\r\n0\r\n\r\n", true],
        ["5\r\nhello!\r\n", false],
        ["hello\r\n", false],
        ["0\r\n\r\nx", false],
        ["0\r\n\r\nGET / HTTP/1.1\r\n\r\n", false],
      ],
    ],
    ["both", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", [["", false]]],
    ["a coding that is not chunked", "Transfer-Encoding: gzip\r\n", [["", false]]],
    ["two codings", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", [["", false]]],
    ["two lengths", "Content-Length: 5\r\nContent-Length: 5\r\n", [["", false]]],
    ["05 bytes", "Content-Length: 05\r\n", [["", false]]],
  ];
  for (const [name, lines, bodies] of rows) {
    it.each(bodies)(`${name}: %j %s, however it is cut into writes`, (body, allowed) => {
      const message = `${HEAD}${lines}\r\n${body}`;
      expect(isAllowed(message)).toBe(allowed);
      expect(isAllowed(...message)).toBe(allowed);
      for (let cut = 1; cut < message.length; cut += 7) {
        expect(isAllowed(message.slice(0, cut), message.slice(cut))).toBe(allowed);
      }
    });
  }
});

describe("a request head with a line that servers read in different ways", () => {
  it.each([
    ["a bare line feed", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"],
    ["a space before the colon", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\n"],
    ["a continued line", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n"],
    ["a line without a colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"],
    ["no host", "GET / HTTP/1.1\r\nX: b\r\n\r\n"],
    ["two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"],
    ["two targets", "GET / /other HTTP/1.1\r\nHost: a\r\n\r\n"],
    ["another protocol", "GET / HTTP/1.0\r\nHost: a\r\n\r\n"],
  ])("is not sent to Glance: %s", (_name, head) => {
    expect(isAllowed(head)).toBe(false);
    expect(isAllowed(...head)).toBe(false);
  });
});

describe("a connection to Glance that is guarded", () => {
  let server: Server;
  let received: string;
  let accepted: Promise<unknown>;
  beforeEach(async () => {
    received = "";
    server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.on("data", (piece) => (received += piece.toString("latin1")));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    accepted = once(server, "connection").then(([socket]) => once(socket as Socket, "close"));
  });
  afterEach(() => void server.close());

  function open(headers: Record<string, string>, method = "GET"): ClientRequest {
    const { port } = server.address() as AddressInfo;
    return request({
      method,
      headers,
      createConnection: () => guardWire(connect({ port, host: "127.0.0.1" })),
    });
  }

  it("sends no body byte that Node would send without framing, and is destroyed", async () => {
    const outgoing = open({ host: "a" });
    const failed = once(outgoing, "error");
    outgoing.write("PUT / HTTP/1.1\r\n\r\n");
    expect((await failed)[0]).toBeInstanceOf(UnannouncedBytes);
    await accepted;
    expect(received).not.toContain("PUT");
  });

  it("sends no byte beyond Content-Length", async () => {
    const outgoing = open({ host: "a", "content-length": "5" }, "PUT");
    const failed = once(outgoing, "error");
    outgoing.write("hello");
    outgoing.write("!");
    expect((await failed)[0]).toBeInstanceOf(UnannouncedBytes);
    await accepted;
    expect(received).not.toContain("!");
  });

  it("sends what its head announces", async () => {
    const outgoing = open({ host: "a", "transfer-encoding": "chunked" }, "PUT");
    outgoing.on("error", () => undefined);
    outgoing.write("hello");
    outgoing.end();
    await expect.poll(() => received).toContain("5\r\nhello\r\n0\r\n\r\n");
    outgoing.destroy();
  });
});
