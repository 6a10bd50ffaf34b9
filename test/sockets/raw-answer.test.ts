/** Answers read into reused memory: every byte, whatever Glance's pieces and the reader's pauses are, and the same as through Node. */
import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import type { ClientRequest, IncomingMessage } from "node:http";
import { type AddressInfo, createServer as createPlainServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { createServer as createTlsServer } from "node:tls";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GlanceAnswer } from "../../src/client/answer-stream.js";
import { parseConfig } from "../../src/config/load.js";
import { RawAnswer } from "../../src/raw-io/raw-answer.js";
import { createUpstream, type Upstream } from "../../src/upstream/upstream.js";
import { type Authority, createAuthority } from "../support/certificates.js";

const MIB = 1024 * 1024;

let authority: Authority;
beforeAll(async () => {
  authority = await createAuthority();
});
afterAll(() => authority.remove());

interface Glance {
  readonly upstream: Upstream;
  /** Called with the connection of each request. */
  onRequest: (connection: Socket) => unknown;
  close(): void;
}

type Way = "TCP" | "TLS" | "a Unix socket";
const WAYS: readonly Way[] = ["TCP", "TLS", "a Unix socket"];

async function startGlance(way: Way): Promise<Glance> {
  const serve = (connection: Socket): void => {
    connection.on("error", () => undefined);
    connection.once("data", () => glance.onRequest(connection));
  };
  const certificate = await authority.issue("127.0.0.1");
  const server: Server =
    way === "TLS" ? createTlsServer(await certificate.pem(), serve) : createPlainServer(serve);
  const path = join(tmpdir(), `raw-answer-${randomUUID()}.sock`);
  if (way === "a Unix socket") server.listen(path);
  else server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const port = (server.address() as AddressInfo).port;
  const url = {
    TCP: `http://127.0.0.1:${port}`,
    TLS: `https://127.0.0.1:${port}`,
    "a Unix socket": `unix:${path}`,
  };
  const tls = way === "TLS" ? { tls: { caFile: authority.certFile } } : {};
  const glance: Glance = {
    upstream: createUpstream(parseConfig({ upstream: { url: url[way], ...tls } }).upstream),
    onRequest: () => undefined,
    close: () => {
      server.close();
      void rm(path, { force: true });
    },
  };
  return glance;
}

interface Opened {
  readonly request: ClientRequest;
  readonly answer: GlanceAnswer;
}

/** @param relay `raw`: into reused memory; `node`: through Node's parser. */
function open(upstream: Upstream, relay: "raw" | "node"): Promise<Opened> {
  const raw = upstream.requestRaw("/", []);
  const request = relay === "raw" ? raw.request : upstream.request("GET", "/", []);
  if (relay === "node") raw.request.destroy();
  raw.request.on("error", () => undefined);
  return new Promise((resolve, reject) => {
    request.once("error", reject);
    request.once("response", (incoming: IncomingMessage) => {
      incoming.on("error", () => undefined);
      resolve({ request, answer: (relay === "raw" ? raw.claim(incoming) : undefined) ?? incoming });
    });
    request.end();
  });
}

interface Read {
  readonly bytes: Buffer;
  readonly end: "whole" | "cut";
  /** Distinct blocks of memory that large pieces lay in. */
  readonly memories: number;
}

/** Looks at each piece only after a pause of so many turns, when it would be overwritten if its memory was used again too early. */
function read({ answer }: Opened, pauses: readonly number[]): Promise<Read> {
  const pieces: Buffer[] = [];
  const memories = new Set<ArrayBufferLike>();
  let count = 0;
  let unread = 0;
  return new Promise((resolve) => {
    const settle = (end: "whole" | "cut") => (): void =>
      resolve({ bytes: Buffer.concat(pieces), end, memories: memories.size });
    answer.on("data", (piece) => {
      answer.pause();
      unread += 1;
      const at = pieces.push(Buffer.alloc(0)) - 1;
      const turns = pauses[count++ % pauses.length] ?? 0;
      void (async () => {
        for (let turn = 0; turn < turns; turn += 1) await nextTurn();
        if (piece.length >= 4096) memories.add(piece.buffer);
        pieces[at] = Buffer.from(piece);
        unread -= 1;
        if (unread === 0) answer.resume();
      })();
    });
    answer.on("error", () => undefined);
    answer.once("end", settle("whole"));
    answer.once("close", settle("cut"));
    answer.resume();
  });
}

/** Writes bytes in pieces of these sizes. */
async function sendInPieces(connection: Socket, bytes: Buffer, sizes: readonly number[]): Promise<void> {
  for (let at = 0, index = 0; at < bytes.length && !connection.destroyed; index += 1) {
    const piece = bytes.subarray(at, at + (sizes[index % sizes.length] ?? bytes.length));
    at += piece.length;
    if (index % 3 > 0) connection.write(piece);
    else await new Promise<unknown>((resolve) => connection.write(piece, resolve));
  }
}

type Framing = "length" | "chunks" | "until close";

function frame(framing: Framing, body: Buffer, chunks: readonly number[]): Buffer {
  const head = (line: string): Buffer => Buffer.from(`HTTP/1.1 200 OK\r\nX-Header: v\r\n${line}\r\n`);
  switch (framing) {
    case "length":
      return Buffer.concat([head(`Content-Length: ${body.length}\r\n`), body]);
    case "until close":
      return Buffer.concat([head(""), body]);
    case "chunks": {
      const parts = [head("Transfer-Encoding: chunked\r\n")];
      for (let at = 0, index = 0; at < body.length; index += 1) {
        const chunk = body.subarray(at, at + (chunks[index % chunks.length] ?? body.length));
        parts.push(Buffer.from(`${chunk.length.toString(16)};note="a;b"\r\n`), chunk, Buffer.from("\r\n"));
        at += chunk.length;
      }
      return Buffer.concat([...parts, Buffer.from("0\r\nX-Trailer: t\r\n\r\n")]);
    }
  }
}

const sizes = fc.array(fc.integer({ min: 1, max: 200_000 }), { minLength: 1, maxLength: 6 });
const smallSizes = fc.array(fc.integer({ min: 1, max: 3_000 }), { minLength: 1, maxLength: 6 });
const cases = fc.record({
  framing: fc.constantFrom<Framing>("length", "chunks", "until close"),
  bytes: fc.oneof(fc.integer({ min: 0, max: 5_000 }), fc.integer({ min: 100_000, max: 3 * MIB })),
  pieces: fc.oneof(sizes, smallSizes),
  chunks: fc.oneof(sizes, smallSizes),
  pauses: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 5 }),
  /** How much of the answer is sent. */
  share: fc.oneof({ weight: 3, arbitrary: fc.constant(1) }, fc.double({ min: 0.5, max: 0.999, noNaN: true })),
});

const material = randomBytes(3 * MIB);

describe.each(WAYS)("over %s", (way) => {
  let glance: Glance;
  beforeAll(async () => {
    glance = await startGlance(way);
  });
  afterAll(() => glance.close());

  it("every byte arrives, and a cut answer is never whole", async () => {
    await fc.assert(
      fc.asyncProperty(cases, async ({ framing, bytes, pieces, chunks, pauses, share }) => {
        const body = material.subarray(0, bytes);
        const answer = frame(framing, body, chunks);
        const headEnd = answer.indexOf("\r\n\r\n") + 4;
        const cutAt = headEnd + Math.floor((answer.length - headEnd) * share);
        const isCut = cutAt < answer.length;
        glance.onRequest = (connection) =>
          void sendInPieces(connection, answer.subarray(0, cutAt), pieces).then(() => connection.end());
        const opened = await open(glance.upstream, "raw");
        expect(opened.answer).toBeInstanceOf(RawAnswer);
        const { bytes: got, end } = await read(opened, pauses);
        opened.request.destroy();
        expect(end).toBe(isCut && framing !== "until close" ? "cut" : "whole");
        if (!isCut) expect(got.equals(body)).toBe(true);
        else expect(got.equals(body.subarray(0, got.length))).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it("a long answer lies in a few buffers, whatever its length", async () => {
    const length = 64 * MIB;
    glance.onRequest = (connection) => {
      connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n`);
      void sendInPieces(connection, Buffer.alloc(length, "x"), [MIB]);
    };
    const opened = await open(glance.upstream, "raw");
    const { bytes, end, memories } = await read(opened, [1]);
    expect({ length: bytes.length, end }).toEqual({ length, end: "whole" });
    expect(memories).toBeLessThan(200); // Node's streams would use more than a thousand
  });
});

describe("the same answer as through Node", () => {
  let glance: Glance;
  beforeAll(async () => {
    glance = await startGlance("TCP");
  });
  afterAll(() => glance.close());

  const OK = "HTTP/1.1 200 OK\r\n";
  it.each([
    ["without a body", "HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n"],
    [
      "304, which has the length of what it does not send",
      "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n",
    ],
    ["with a length of 0", `${OK}Content-Length: 0\r\n\r\n`],
    ["of HTTP/1.0, ended by the connection", "HTTP/1.0 200 OK\r\n\r\nall of it"],
    [
      "behind 102 and 103",
      `HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n${OK}Content-Length: 5\r\n\r\nhello`,
    ],
    ["with repeated headers", `${OK}Set-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 5\r\n\r\nhello`],
    [
      "in chunks with a trailer",
      `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n`,
    ],
    [
      "of a part",
      "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/9\r\nContent-Length: 5\r\n\r\nhello",
    ],
    ["with a length that begins with zeros", `${OK}Content-Length: 0005\r\n\r\nhello`],
    [
      "followed by bytes that do not belong to it",
      `${OK}Content-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n`,
    ],
  ])("%s, in one piece and byte by byte", async (_, text) => {
    for (const pieces of [[text.length], [1]]) {
      glance.onRequest = (connection) =>
        void sendInPieces(connection, Buffer.from(text), pieces).then(() => connection.end());
      const [viaNode, raw] = await Promise.all(
        (["node", "raw"] as const).map(async (relay) => {
          const opened = await open(glance.upstream, relay);
          const { statusCode, statusMessage, httpVersion, rawHeaders } = opened.answer;
          const { bytes, end } = await read(opened, [0]);
          opened.request.destroy();
          return { statusCode, statusMessage, httpVersion, rawHeaders, body: bytes.toString(), end };
        }),
      );
      expect(raw).toEqual(viaNode);
    }
  });

  it.each([1, 2, 3])("is not left to Node if %i bytes of the end of its head arrive later", async (late) => {
    const head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    glance.onRequest = async (connection) => {
      connection.write(head.slice(0, -late));
      for (let turn = 0; turn < 20; turn += 1) await nextTurn(); // until the other side has read it
      connection.end(`${head.slice(-late)}hello`);
    };
    const opened = await open(glance.upstream, "raw");
    expect(opened.answer).toBeInstanceOf(RawAnswer);
    expect((await read(opened, [0])).bytes.toString()).toBe("hello");
  });

  it("is left to Node if its head ends in an unusual way", async () => {
    glance.onRequest = (connection) => connection.end("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello");
    const [viaNode, raw] = await Promise.all(
      (["node", "raw"] as const).map((relay) =>
        open(glance.upstream, relay).then(
          async (opened) => (await read(opened, [0])).bytes.toString(),
          (error: NodeJS.ErrnoException) => error.code,
        ),
      ),
    );
    expect(raw).toBe(viaNode);
  });
});

it("a reader that leaves closes the connection", async () => {
  const glance = await startGlance("TCP");
  const closed = new Promise((resolve) => {
    glance.onRequest = (connection) => {
      connection.once("close", resolve).write("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello");
    };
  });
  const { answer } = await open(glance.upstream, "raw");
  const end = new Promise((resolve) => answer.once("close", () => resolve("closed")));
  answer.on("data", () => void answer.destroy());
  answer.resume();
  expect(await end).toBe("closed");
  await closed;
  glance.close();
});

describe("the memory of an answer", () => {
  /** Reads until the first piece. */
  async function firstPiece(upstream: Upstream): Promise<{ answer: GlanceAnswer; piece: Buffer }> {
    const { answer } = await open(upstream, "raw");
    const piece = await new Promise<Buffer>((resolve) => {
      answer.on("data", (one) => {
        answer.pause();
        resolve(one);
      });
      answer.resume();
    });
    return { answer, piece };
  }

  async function isReusedAfter(settle: (answer: GlanceAnswer) => void, event: "end" | "close") {
    const glance = await startGlance("TCP");
    const answerWith = (text: string): void => {
      glance.onRequest = (connection) =>
        connection.write(`HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n${text}`);
    };
    answerWith("first");
    const { answer, piece } = await firstPiece(glance.upstream);
    const over = new Promise<void>((resolve) => answer.once(event, resolve));
    settle(answer);
    await over;
    answerWith("other");
    const next = await firstPiece(glance.upstream);
    next.answer.destroy();
    glance.close();
    return { isReused: next.piece.buffer === piece.buffer, text: piece.toString() };
  }

  it("is used for the next one after its end", async () => {
    expect(await isReusedAfter((answer) => void answer.resume(), "end")).toMatchObject({ isReused: true });
  });

  it("is not used again if the client has left: its bytes may still be queued", async () => {
    const after = await isReusedAfter((answer) => void answer.destroy(), "close");
    expect(after).toEqual({ isReused: false, text: "first" });
  });
});
