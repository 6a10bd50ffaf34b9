/** Upload bodies read into reused memory: every byte, whatever the client's pieces and the reader's pauses are, also over TLS. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, connect, type Socket } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { readAnnouncedBody } from "../../src/http/announced-body.js";
import type { Body } from "../../src/http/body.js";
import { createRequestHead } from "../../src/http/request-head.js";
import { type ClaimBody, createRawBodies } from "../../src/raw-io/claim-body.js";
import { type Authority, createAuthority } from "../support/certificates.js";

const MIB = 1024 * 1024;

let authority: Authority;
beforeAll(async () => {
  authority = await createAuthority();
});
afterAll(() => authority.remove());

const smallSizes = fc.array(fc.integer({ min: 1, max: 3_000 }), { minLength: 1, maxLength: 6 });
const sizes = fc.array(fc.integer({ min: 1, max: 300_000 }), { minLength: 1, maxLength: 6 });
const cases = fc.record({
  chunked: fc.boolean(),
  bytes: fc.oneof(fc.integer({ min: 1, max: 5_000 }), fc.integer({ min: 100_000, max: 4 * MIB })),
  pieces: fc.oneof(sizes, smallSizes),
  chunks: fc.oneof(sizes, smallSizes),
  pauses: fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 5 }),
  purpose: fc.constantFrom("keep" as const, "send" as const),
  /** Bytes behind the body. */
  more: fc.constantFrom(0, 1, 100_000),
});

type Case = typeof cases extends fc.Arbitrary<infer One> ? One : never;

const material = randomBytes(4 * MIB);

function chunksOf(body: Buffer, sizesOfChunks: readonly number[]): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0, index = 0; at < body.length; index += 1) {
    const chunk = body.subarray(at, at + (sizesOfChunks[index % sizesOfChunks.length] ?? body.length));
    parts.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from("\r\n"));
    at += chunk.length;
  }
  return Buffer.concat([...parts, Buffer.from("0\r\n\r\n")]);
}

async function sendInPieces(client: Socket, bytes: Buffer, pieces: readonly number[]): Promise<void> {
  for (let at = 0, index = 0; at < bytes.length && !client.destroyed; index += 1) {
    const piece = bytes.subarray(at, at + (pieces[index % pieces.length] ?? bytes.length));
    at += piece.length;
    if (index % 3 > 0) client.write(piece);
    else await new Promise<unknown>((resolve) => client.write(piece, resolve));
  }
}

/** Looks at each piece only after a pause of so many turns, when it would be overwritten if its memory was used again too early. */
function read(body: Body, pauses: readonly number[]): Promise<Buffer | "closed"> {
  const pieces: Buffer[] = [];
  let count = 0;
  let unread = 0;
  let hasEnded = false;
  return new Promise((resolve) => {
    const settle = (): void => {
      if (hasEnded && unread === 0) resolve(Buffer.concat(pieces));
    };
    body.on("data", (piece) => {
      body.pause();
      unread += 1;
      const at = pieces.push(Buffer.alloc(0)) - 1;
      const turns = pauses[count++ % pauses.length] ?? 0;
      void (async () => {
        for (let turn = 0; turn < turns; turn += 1) await nextTurn();
        pieces[at] = Buffer.from(piece);
        unread -= 1;
        if (unread === 0) body.resume();
        settle();
      })();
    });
    body.once("end", () => {
      hasEnded = true;
      settle();
    });
    body.once("close", () => {
      if (!hasEnded) resolve("closed");
    });
    body.resume();
  });
}

describe.each(["TCP", "TLS"] as const)("over %s", (way) => {
  let server: Server;
  let claim: ClaimBody;
  beforeAll(async () => {
    server =
      way === "TLS" ? createHttpsServer(await (await authority.issue("127.0.0.1")).pem()) : createServer();
    claim = createRawBodies(server, 0);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  });
  afterAll(() => {
    server.close();
    server.closeAllConnections();
  });

  async function open(): Promise<Socket> {
    const to = { port: (server.address() as AddressInfo).port, host: "127.0.0.1", noDelay: true };
    const client = way === "TLS" ? connectTls({ ...to, rejectUnauthorized: false }) : connect(to);
    client.on("error", () => undefined);
    await once(client, way === "TLS" ? "secureConnect" : "connect");
    return client;
  }

  function nextBody(purpose: "keep" | "send"): Promise<{ body: Body; socket: Socket }> {
    return new Promise((resolve, reject) => {
      server.once("request", (request: IncomingMessage, response: ServerResponse) => {
        const announced = readAnnouncedBody(createRequestHead(request.rawHeaders));
        const body = claim({ request, response, announced }, purpose);
        if (body) resolve({ body, socket: request.socket });
        else reject(new Error("the body was not taken over"));
      });
    });
  }

  it("every byte arrives, with other bodies read in the same buffers meanwhile", async () => {
    const upload = async ({ chunked, bytes, pieces, chunks, pauses, purpose, more }: Case) => {
      const start = material.length - bytes;
      const body = material.subarray(start);
      const framing = chunked ? "Transfer-Encoding: chunked" : `Content-Length: ${bytes}`;
      const client = await open();
      const begun = nextBody(purpose);
      const head = Buffer.from(`PUT / HTTP/1.1\r\nHost: x\r\n${framing}\r\n\r\n`);
      client.write(head);
      const { body: claimed } = await begun;
      const sent = Buffer.concat([chunked ? chunksOf(body, chunks) : body, Buffer.alloc(more, "E")]);
      void sendInPieces(client, sent, pieces);
      return {
        client,
        done: async () => {
          const got = await read(claimed, pauses);
          expect(got).not.toBe("closed");
          expect((got as Buffer).equals(body)).toBe(true);
          claimed.release?.();
        },
      };
    };
    await fc.assert(
      fc.asyncProperty(cases, cases, async (one, other) => {
        const first = await upload(one);
        const second = await upload(other);
        await Promise.all([first.done(), second.done()]);
        first.client.destroy();
        second.client.destroy();
      }),
      { numRuns: Number(process.env["FUZZ_COUNT"] ?? 40) },
    );
  });

  it("Node is told about a new buffer only a few times: it keeps memory for each time until the connection closes", async () => {
    const size = 24 * MIB;
    const client = await open();
    const begun = nextBody("send");
    client.write(`PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: ${size}\r\n\r\n`);
    const { body, socket } = await begun;
    const handle = (socket as unknown as { _handle: { useUserBuffer(buffer: Buffer): void } })._handle;
    const told = vi.spyOn(handle, "useUserBuffer");
    const ended = once(body as never, "end");
    body.on("data", () => undefined);
    body.resume();
    client.write(Buffer.alloc(size));
    await ended;
    expect(told.mock.calls.length).toBeLessThan(5);
    client.destroy();
  });
});
