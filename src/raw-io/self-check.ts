/** Tests over loopback whether upload bodies can be taken over on this Node. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer, Server as TlsServer } from "node:https";
import { type AddressInfo, connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { readAnnouncedBody } from "../http/announced-body.js";
import type { Body } from "../http/body.js";
import { createRequestHead } from "../http/request-head.js";
import { type ClaimBody, createRawBodies, READ_BYTES } from "./claim-body.js";

const PRE_SHARED_KEY = randomBytes(32);
const PATIENCE_MS = 10_000;
const PAUSE_MS = 5;
/** The first part is sent with the head, the others while the body is paused. */
const UPLOADS = [
  { framing: "Content-Length: 15", parts: ["one", "two", "three", "four"] },
  {
    framing: "Transfer-Encoding: chunked",
    parts: ["3\r\none\r\nc\r\n", "two", "three", "four\r\n0\r\n\r\n"],
  },
] as const;

/** Sent before the first `resume`: the socket must keep it. */
const AHEAD = "1".repeat(READ_BYTES);

/**
 * @param encrypted whether clients use TLS.
 * @returns the reason why not; undefined if they can.
 */
export async function checkRawBodies(encrypted = false): Promise<string | undefined> {
  const server = encrypted ? createTlsServer(SHARED_KEY) : createServer();
  const signal = AbortSignal.timeout(PATIENCE_MS);
  try {
    const claim = createRawBodies(server, 0);
    server.listen({ port: 0, host: "127.0.0.1", exclusive: true }); // not shared with other workers
    await once(server, "listening", { signal });
    for (const { framing, parts } of UPLOADS) {
      const [first, ...others] = parts;
      const upload = await begin(server, claim, framing, first, signal);
      await readParts(upload, others, signal);
      await answer(upload, signal);
    }
    const ahead = await begin(server, claim, `Content-Length: ${AHEAD.length + 11}`, AHEAD, signal, "later");
    await readAhead(ahead, ["two", "three", "end"], signal);
    await answer(ahead, signal);
    const abandoned = await begin(server, claim, "Content-Length: 15", "one", signal);
    abandoned.client.destroy();
    abandoned.body.resume();
    await once(abandoned.body as never, "close", { signal });
    return undefined;
  } catch (error) {
    return signal.aborted ? "the self-test timed out" : (error as Error).message;
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

/** TLS without a certificate: both ends are in this process. */
const SHARED_KEY = {
  pskCallback: () => PRE_SHARED_KEY,
  ciphers: "PSK",
  maxVersion: "TLSv1.2",
} as const;

function connectTo(server: Server): Socket {
  const { port } = server.address() as AddressInfo;
  const to = { port, host: "127.0.0.1", noDelay: true };
  if (!(server instanceof TlsServer)) return connect(to);
  return connectTls({
    ...to,
    ...SHARED_KEY,
    pskCallback: () => ({ psk: PRE_SHARED_KEY, identity: "self-check" }),
    checkServerIdentity: () => undefined,
  });
}

interface Upload {
  readonly client: Socket;
  readonly body: Body;
  readonly response: ServerResponse;
}

async function begin(
  server: Server,
  claim: ClaimBody,
  framing: string,
  first: string,
  signal: AbortSignal,
  wanted: "at once" | "later" = "at once",
): Promise<Upload> {
  const client = connectTo(server);
  client.on("error", () => undefined); // the deadline reports it
  const begun = new Promise<Upload>((resolve, reject) => {
    signal.addEventListener("abort", reject);
    server.once("request", (request, response) => {
      try {
        const announced = readAnnouncedBody(createRequestHead(request.rawHeaders));
        const body = claim({ request, response, announced }, "send");
        if (!body) throw new Error("the body could not be detached from Node's parser");
        if (wanted === "at once") {
          // Taken over during Node's own read, which would continue.
          body.resume();
          body.pause();
        }
        resolve({ client, body, response });
      } catch (error) {
        const why = error as Error;
        reject(why);
      }
    });
  });
  client.write(`PUT / HTTP/1.1\r\nHost: check\r\n${framing}\r\n\r\n${first}`);
  return begun;
}

/** Each part is sent after the previous one was read. A part that is read during a pause is lost. */
async function send(client: Socket, part: string, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => client.write(part, () => resolve()));
  await delay(PAUSE_MS, undefined, { signal });
}

async function readParts(
  { client, body }: Upload,
  [second, third, fourth]: readonly [string, string, string],
  signal: AbortSignal,
): Promise<void> {
  const take = async (): Promise<{ text: string; memory: ArrayBufferLike }> => {
    const next = once(body as never, "data", { signal }) as Promise<[Buffer]>;
    body.resume();
    const [piece] = await Promise.race([next, lost]);
    return { text: piece.toString(), memory: piece.buffer };
  };
  body.on("data", () => body.pause());
  const ended = once(body as never, "end", { signal });
  const lost = new Promise<never>((_, reject) => {
    body.once("close", () => reject(new Error("a body was lost before it was read")));
  });
  for (const promise of [ended, lost]) promise.catch(() => undefined); // in case something else fails first
  await send(client, second, signal);
  const taken = [await take(), await take()];
  await send(client, third, signal);
  taken.push(await take());
  await send(client, fourth, signal);
  taken.push(await take());
  await ended;
  if (taken.map(({ text }) => text).join("") !== "onetwothreefour") {
    throw new Error("the body read differs from the body sent");
  }
  if (new Set(taken.map(({ memory }) => memory)).size > 1)
    throw new Error("each read allocates its own memory");
}

async function readAhead(
  { client, body }: Upload,
  parts: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  for (const part of parts) await send(client, part, signal);
  const pieces: Buffer[] = [];
  body.on("data", (piece) => pieces.push(Buffer.from(piece)));
  const ended = once(body as never, "end", { signal });
  body.resume();
  await ended;
  if (Buffer.concat(pieces).toString() !== AHEAD + parts.join("")) {
    throw new Error("a body that was read ahead was lost");
  }
}

async function answer({ client, response }: Upload, signal: AbortSignal): Promise<void> {
  response.writeHead(204).end();
  let text = "";
  client.on("data", (piece: Buffer) => {
    text += piece.toString("latin1");
  });
  await once(client, "end", { signal });
  client.destroy();
  if (!/^HTTP\/1\.1 204 .*\r\nConnection: close\r\n/is.test(text)) throw new Error("the answer was lost");
}
