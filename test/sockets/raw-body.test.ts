/** What the tests of the upload path do not bring about by themselves: when a body is not taken over, and what it is read into. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { type AddressInfo } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { readAnnouncedBody } from "../../src/http/announced-body.js";
import type { Body } from "../../src/http/body.js";
import { createRequestHead } from "../../src/http/request-head.js";
import { type ClaimBody, createRawBodies, KEEP_READ_BYTES, READ_BYTES } from "../../src/raw-io/claim-body.js";
import { connect, type Peer } from "../support/raw-http.js";

const MIB = 1024 * 1024;
const LARGEST_BYTES = 4 * MIB;
/** Of a body that flows while another has that. */
const LARGE_BYTES = 2 * MIB;
/** More than is read before a body flows. */
const flowing = Buffer.alloc(24 * MIB, "f");

/** Shorter ones are left to the parser. */
const LEAST_BYTES = 5;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

let server: Server;
let claim: ClaimBody;
let port: number;
beforeEach(async () => {
  server = createServer();
  claim = createRawBodies(server, LEAST_BYTES);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  ({ port } = server.address() as AddressInfo);
});
afterEach(() => {
  vi.restoreAllMocks();
  server.close();
  server.closeAllConnections();
});

interface Begun<Found> {
  readonly peer: Peer;
  readonly found: Found;
}

/** Sends a request; `look` sees it while its event is being emitted. */
async function begin<Found>(
  length: number,
  look: (request: IncomingMessage, response: ServerResponse) => Found,
): Promise<Begun<Found>> {
  const found = new Promise<Found>((resolve) => {
    server.once("request", (request, response) => resolve(look(request, response)));
  });
  const peer = await connect(port);
  peer.sendHead("PUT", "/", { "Content-Length": length });
  return { peer, found: await found };
}

function claimOf(request: IncomingMessage, response: ServerResponse, purpose: "keep" | "send") {
  const announced = readAnnouncedBody(createRequestHead(request.rawHeaders));
  return claim({ request, response, announced }, purpose);
}

function claimed(request: IncomingMessage, response: ServerResponse): Body {
  const body = claimOf(request, response, "send");
  if (!body) throw new Error("the body was not taken over");
  return body;
}

/** @returns the most memory that its pieces lay in. */
async function readAll({ peer, found: body }: Begun<Body>): Promise<number> {
  let most = 0;
  body.on("data", (piece) => {
    most = Math.max(most, piece.buffer.byteLength);
  });
  const ended = once(body as never, "end");
  body.resume();
  peer.send(flowing);
  await ended;
  return most;
}

/** Until so much of it has come; more may follow. */
async function flow(peer: Peer, body: Body): Promise<void> {
  const came = new Promise<void>((resolve) => {
    let bytes = 0;
    body.on("data", (piece) => {
      bytes += piece.length;
      if (bytes >= flowing.length) resolve();
    });
  });
  body.resume();
  peer.send(flowing);
  await came;
}

it("one large buffer is reused for all bodies", async () => {
  for (let upload = 0; upload < 20; upload += 1) {
    const begun = await begin(flowing.length, claimed);
    expect(await readAll(begun)).toBe(LARGEST_BYTES);
    begun.peer.destroy();
  }
});

it("the buffer of a body whose client disconnected is reused, too", async () => {
  for (let upload = 0; upload < 20; upload += 1) {
    const { peer, found: body } = await begin(flowing.length + 1, claimed);
    const closed = once(body as never, "close");
    let bytes = 0;
    body.on("data", (piece) => {
      bytes += piece.length;
      if (bytes === flowing.length) peer.destroy();
    });
    body.resume();
    peer.send(flowing);
    await closed;
  }
  expect(await readAll(await begin(flowing.length, claimed))).toBe(LARGEST_BYTES);
});

it.each(["before", "while"])(
  "nor is it kept from others by those that are discarded %s they flow",
  async (when) => {
    const peers: Peer[] = [];
    for (let upload = 0; upload < 20; upload += 1) {
      const { peer, found: body } = await begin(2 * flowing.length, claimed);
      peers.push(peer);
      if (when === "before") body.stopReusing?.();
      await flow(peer, body);
      if (when === "while") body.stopReusing?.();
    }
    expect(await readAll(await begin(flowing.length, claimed))).toBe(LARGEST_BYTES);
    for (const peer of peers) peer.destroy();
  },
);

it("only one body at a time has the largest buffer", async () => {
  const { peer, found: body } = await begin(2 * flowing.length, claimed);
  await flow(peer, body);
  expect(await readAll(await begin(flowing.length, claimed))).toBe(LARGE_BYTES);
  peer.destroy();
});

it.each([
  ["before it is wanted", () => undefined],
  ["while it is read", (body: Body) => void body.resume()],
])("a discarded body keeps no buffer, %s", async (_name, want) => {
  const { peer, found } = await begin(2 * MIB, (request, response) => ({
    body: claimed(request, response),
    socket: request.socket,
  }));
  const { body, socket } = found;
  const memory = new Promise<WeakRef<ArrayBufferLike>>((resolve) => {
    body.on("data", (piece) => {
      if (piece.buffer.byteLength === READ_BYTES) resolve(new WeakRef(piece.buffer));
    });
  });
  want(body);
  peer.send(Buffer.alloc(100));
  await vi.waitUntil(() => socket.bytesRead > 100);
  body.stopReusing?.();
  body.resume();
  const held = await memory;
  await vi.waitUntil(() => {
    collectGarbage();
    return held.deref() === undefined;
  });
  peer.destroy();
});

/** @returns the memory that a small body lay in, whose second part comes when the first has been read. */
async function memoryOf(purpose: "keep" | "send"): Promise<{ body: Body; memory: ArrayBufferLike }> {
  const { peer, found: body } = await begin(10, (request, response) => claimOf(request, response, purpose));
  if (!body) throw new Error("the body was not taken over");
  const seen: { text: string; memory: ArrayBufferLike }[] = [];
  body.on("data", (piece) => seen.push({ text: piece.toString(), memory: piece.buffer }));
  const ended = once(body as never, "end");
  body.resume();
  peer.send("first");
  await vi.waitUntil(() => seen.length === 1);
  peer.send("other");
  await ended;
  peer.destroy();
  const [first, other] = seen;
  expect([first?.text, other?.text]).toEqual(["first", "other"]);
  expect(other?.memory).toBe(first?.memory);
  return { body, memory: first?.memory as ArrayBufferLike };
}

it.each(["keep", "send"] as const)("a buffer is reused after it is released, to %s", async (purpose) => {
  const one = await memoryOf(purpose);
  one.body.release?.();
  one.body.release?.(); // by the spool, and once more by the relay: it is there for one, still
  const another = await memoryOf(purpose);
  expect(another.memory).toBe(one.memory);
  const third = await memoryOf(purpose);
  expect(third.memory).not.toBe(another.memory);
});

it("data that arrives before it is wanted fills one buffer, and the client waits with the rest", async () => {
  const { peer, found } = await begin(flowing.length, (request, response) => ({
    socket: request.socket,
    body: claimed(request, response),
  }));
  peer.send(flowing);
  await vi.waitUntil(() => found.socket.bytesRead >= READ_BYTES);
  const pieces: Buffer[] = [];
  found.body.on("data", (piece) => pieces.push(Buffer.from(piece)));
  const ended = once(found.body as never, "end");
  found.body.resume();
  await ended;
  expect(pieces[0]).toHaveLength(READ_BYTES);
  expect(Buffer.concat(pieces).equals(flowing)).toBe(true);
});

it("data after a body does not overwrite the next body in the same buffer", async () => {
  const { peer, found: before } = await begin(LEAST_BYTES, claimed);
  const ended = once(before as never, "end");
  before.resume();
  peer.send("first");
  await ended;
  before.release?.();
  const { peer: other, found: body } = await begin(10, claimed);
  const [piece] = await new Promise<Buffer[]>((resolve) => {
    body.on("data", (one) => {
      body.pause();
      resolve([one]);
    });
    body.resume();
    other.send("other");
  });
  const closed = once(before as never, "close");
  peer.send("EVIL!");
  peer.end();
  await closed;
  expect(piece?.toString()).toBe("other");
  other.destroy();
});

it.each([-1, 0, 1])("the socket may already have the size of the buffer %i bytes", async (more) => {
  const bytes = KEEP_READ_BYTES + more;
  const roomy = createServer({ highWaterMark: 4 * MIB });
  claim = createRawBodies(roomy, LEAST_BYTES);
  roomy.listen(0, "127.0.0.1");
  await once(roomy, "listening");
  const accepted = once(roomy, "connection") as Promise<[Socket]>;
  const begun = new Promise<Body>((resolve, reject) => {
    roomy.once("request", (request, response) => {
      const body = claimOf(request, response, "keep");
      if (body) resolve(body);
      else reject(new Error("the body was not taken over"));
    });
  });
  const peer = await connect((roomy.address() as AddressInfo).port);
  const [socket] = await accepted;
  const sent = Buffer.from(flowing.subarray(0, 2 * KEEP_READ_BYTES));
  sent.forEach((_, index) => (sent[index] = index % 251));
  socket.pause();
  socket.push(Buffer.from(`PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: ${sent.length}\r\n\r\n`));
  socket.push(sent.subarray(0, bytes));
  socket.resume();
  const body = await begun;
  const pieces: Buffer[] = [];
  body.on("data", (piece) => pieces.push(Buffer.from(piece)));
  const ended = once(body as never, "end");
  peer.send(sent.subarray(bytes));
  await vi.waitUntil(() => socket.bytesRead > 0);
  body.resume();
  await ended;
  expect(Buffer.concat(pieces).equals(sent)).toBe(true);
  peer.destroy();
  roomy.close();
  roomy.closeAllConnections();
});

it("a read in spite of a pause closes the connection, because it may have overwritten data", async () => {
  const { peer, found } = await begin(10, (request, response) => ({
    body: claimed(request, response),
    socket: request.socket,
  }));
  const { body, socket } = found;
  const pieces: Buffer[] = [];
  body.on("data", (piece) => {
    pieces.push(Buffer.from(piece));
    body.pause();
  });
  const closed = once(body as never, "close");
  body.resume();
  peer.send("first");
  await vi.waitUntil(() => pieces.length === 1);
  socket.resume();
  peer.send("other");
  await closed;
  expect(Buffer.concat(pieces).toString()).toBe("first");
});

it("the body of a paused connection is read as usual", async () => {
  const { peer, found: request } = await begin(5, (request, response) => {
    request.socket.pause();
    expect(claimOf(request, response, "send")).toBeUndefined();
    return request;
  });
  const pieces: Buffer[] = [];
  request.on("data", (piece: Buffer) => pieces.push(piece));
  peer.send("hello");
  request.socket.resume();
  await once(request, "end");
  expect(Buffer.concat(pieces).toString()).toBe("hello");
});

it("a short body is left to the parser, and comes with its head", async () => {
  const text = "x".repeat(LEAST_BYTES - 1);
  server.once("request", (request, response) => {
    expect(claimOf(request, response, "send")).toBeUndefined();
    request.pipe(response);
  });
  const peer = await connect(port);
  peer.send(`PUT / HTTP/1.1\r\nHost: x\r\ncontent-length: ${text.length}\r\n\r\n${text}`);
  expect((await peer.response()).text).toBe(text);
  peer.destroy();
});

it.each(["Content-Length", "content-length", "CONTENT-LENGTH"])(
  "one that is long enough is taken over by any spelling: %s",
  async (name) => {
    const found = once(server, "request") as Promise<[IncomingMessage, ServerResponse]>;
    server.once("request", claimed);
    const peer = await connect(port);
    peer.send(`PUT / HTTP/1.1\r\nHost: x\r\n${name}: ${LEAST_BYTES}\r\n\r\n`);
    await found;
    peer.destroy();
  },
);
