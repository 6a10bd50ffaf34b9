/** Digests that a client sends are compared with the body before Glance has all of it. */
import { createHash, randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { sha256 } from "../support/bytes.js";
import type { HeaderValues, Peer } from "../support/raw-http.js";
import { CHUNKED, FILE, readSlowly, SIZE, STAGE, useScene } from "./scene.js";

const KIB = 1024;
const scene = useScene({ upload: { relay: "auto" } });
const BODY = randomBytes(2 * 1024 * KIB + 77);

const base64 = (algorithm: string, bytes: Buffer): string =>
  createHash(algorithm).update(bytes).digest("base64");
const sha256Field = (bytes: Buffer): string => `sha-256=:${base64("sha256", bytes)}:`;

/** Each field with the value that is right for a body. */
const FIELDS = [
  ["Content-Digest", sha256Field],
  ["Repr-Digest", (bytes: Buffer) => `foo=1, sha-512=:${base64("sha512", bytes)}:`],
  ["Content-MD5", (bytes: Buffer) => base64("md5", bytes)],
] as const;

/** How the body comes. */
const WAYS = [
  {
    way: "Content-Length",
    source: "content_length",
    headers: (bytes: number): HeaderValues => ({ "Content-Length": bytes }),
  },
  {
    way: "chunked, size declared",
    source: "header",
    headers: (bytes: number): HeaderValues => ({ ...CHUNKED, [SIZE]: bytes }),
  },
  { way: "chunked, size unknown", source: "unknown", headers: (): HeaderValues => CHUNKED },
] as const;

/** Chunks of random sizes, in pieces that are cut elsewhere. */
async function sendInChunks(peer: Peer, body: Buffer, trailers = ""): Promise<void> {
  const chunks: Buffer[] = [];
  for (let at = 0; at < body.length;) {
    const bytes = 1 + Math.floor(Math.random() ** 4 * 300 * KIB);
    const chunk = body.subarray(at, at + bytes);
    chunks.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from("\r\n"));
    at += bytes;
  }
  const wire = Buffer.concat([...chunks, Buffer.from(`0\r\n${trailers}\r\n`)]);
  for (let at = 0; at < wire.length;) {
    const bytes = 1 + Math.floor(Math.random() ** 2 * 500 * KIB);
    peer.send(wire.subarray(at, at + bytes));
    at += bytes;
    await peer.flushed();
  }
}

async function upload(headers: HeaderValues, body: Buffer, trailers = "", port = scene.proxy.port) {
  const peer = await scene.connect(port);
  peer.sendHead("PUT", FILE, headers);
  if ("Content-Length" in headers) peer.send(body);
  else await sendInChunks(peer, body, trailers);
  return peer.response();
}

async function expectRefused(
  { status, text }: { status: number; text: string },
  explanation: RegExp,
): Promise<void> {
  expect([status, text]).toEqual([400, expect.stringMatching(explanation)]);
  await Promise.all(scene.upstream.uploads.map(({ over }) => over));
  expect(scene.upstream.uploads.filter(({ complete }) => complete)).toEqual([]);
  expect((await scene.proxy.uploads()).finished).toMatchObject([{ outcome: "digest_mismatch" }]);
}

describe.each(WAYS)("$way", ({ headers, source }) => {
  it.each(FIELDS)("a right %s: Glance gets every byte, and the digest", async (name, value) => {
    const seen = readSlowly(scene.upstream);
    const answer = await upload({ ...headers(BODY.length), [name]: value(BODY) }, BODY);
    expect(answer.status).toBe(204);
    expect(seen.digest()).toBe(sha256(BODY));
    expect(scene.upstream.uploads[0]?.headers).toMatchObject({ [name.toLowerCase()]: value(BODY) });
  });

  it.each(FIELDS)("a wrong %s: 400, and the body is never whole for Glance", async (name, value) => {
    readSlowly(scene.upstream);
    const wrong = value(Buffer.from("other"));
    await expectRefused(
      await upload({ ...headers(BODY.length), [name]: wrong }, BODY),
      new RegExp(`Digest mismatch: ${name}: (sha-256|sha-512|md5): expected [\\w+/=]+, got [\\w+/=]+`),
    );
    const labels = `operation="file",outcome="digest_mismatch",size_source="${source}"`;
    expect(await scene.proxy.metric(`uploads_total{${labels}}`)).toBe(1);
  });

  it("a small body that comes with its head", async () => {
    const body = Buffer.from("hello");
    expect((await upload({ ...headers(5), "Content-Digest": sha256Field(body) }, body)).status).toBe(204);
    const wrong = sha256Field(Buffer.from("other"));
    expect((await upload({ ...headers(5), "Content-Digest": wrong }, body)).status).toBe(400);
    await Promise.all(scene.upstream.uploads.map(({ over }) => over));
    expect(scene.upstream.uploads.map(({ complete }) => complete)).toEqual([true, false]);
  });

  it("an empty body", async () => {
    const empty = Buffer.alloc(0);
    expect((await upload({ ...headers(0), "Content-Digest": sha256Field(empty) }, empty)).status).toBe(204);
    expect((await upload({ ...headers(0), "Content-Digest": sha256Field(BODY) }, empty)).status).toBe(400);
    await Promise.all(scene.upstream.uploads.map(({ over }) => over));
    expect(scene.upstream.uploads.map(({ complete }) => complete).filter(Boolean)).toHaveLength(1);
  });
});

describe.each(WAYS.slice(1))("$way, the digest as a trailer", ({ headers }) => {
  const announced = (bytes: number): HeaderValues => ({
    ...headers(bytes),
    Trailer: "Content-Digest, Content-MD5",
  });

  it("right", async () => {
    const seen = readSlowly(scene.upstream);
    const trailers = `Content-Digest: ${sha256Field(BODY)}\r\nCONTENT-MD5: \t${base64("md5", BODY)} \r\n`;
    expect((await upload(announced(BODY.length), BODY, trailers)).status).toBe(204);
    expect(seen.digest()).toBe(sha256(BODY));
    expect(scene.upstream.uploads[0]?.headers).not.toHaveProperty("trailer");
  });

  it("wrong", async () => {
    const trailers = `Content-Digest: ${sha256Field(Buffer.from("other"))}\r\n`;
    await expectRefused(
      await upload(announced(BODY.length), BODY, trailers),
      /Digest mismatch: Content-Digest: sha-256/,
    );
  });

  it("malformed", async () => {
    const answer = await upload(announced(BODY.length), BODY, "Content-Digest: sha-256=abc\r\n");
    await expectRefused(answer, /Malformed digest: Content-Digest: /);
  });

  it("right, behind a wrong one in the head", async () => {
    const head = { ...announced(BODY.length), "Content-Digest": sha256Field(Buffer.from("other")) };
    const answer = await upload(head, BODY, `Content-Digest: ${sha256Field(BODY)}\r\n`);
    await expectRefused(answer, /Digest mismatch/);
  });

  it("wrong, but not announced: it is not checked", async () => {
    const trailers = `Content-Digest: ${sha256Field(Buffer.from("other"))}\r\n`;
    expect((await upload(headers(BODY.length), BODY, trailers)).status).toBe(204);
  });

  it.each([0, 3])("byte by byte, of which %i are another's", async (wrongBytes) => {
    const body = Buffer.concat([BODY.subarray(0, 60 - wrongBytes), Buffer.alloc(wrongBytes)]);
    const trailer = `Content-Digest: ${sha256Field(BODY.subarray(0, 60))}\r\n`;
    const peer = await scene.connect();
    peer.sendHead("PUT", STAGE, announced(60));
    const wire = Array.from(body, (byte) => `1\r\n${String.fromCharCode(byte)}\r\n`).join("");
    for (const byte of `${wire}0\r\n${trailer}\r\n`) {
      peer.send(byte);
      await peer.flushed();
    }
    expect((await peer.response()).status).toBe(wrongBytes === 0 ? 204 : 400);
    await Promise.all(scene.upstream.uploads.map(({ over }) => over));
    expect(scene.upstream.uploads.map(({ complete }) => complete)).toEqual([wrongBytes === 0]);
  });
});

it.each(["sha-256=:AAAA:", "sha-256=1", "sha-256=:", ", "])(
  "a malformed digest %j is refused before the client is asked for its body, and Glance gets no request",
  async (digest) => {
    const peer = await scene.connect();
    peer.sendHead("PUT", FILE, { "Content-Length": 5, Expect: "100-continue", "Content-Digest": digest });
    const { status, text } = await peer.response();
    expect([status, text]).toEqual([400, expect.stringContaining("Malformed digest: Content-Digest: ")]);
    expect(peer.interims).toEqual([]);
    expect(scene.upstream.requests).toEqual([]);
  },
);

it("a digest of unknown algorithms is passed on and not checked", async () => {
  const digest = "md5=:AAAA:, unixsum=:AAAA:";
  expect((await upload({ "Content-Length": BODY.length, "Content-Digest": digest }, BODY)).status).toBe(204);
  expect(scene.upstream.uploads[0]?.headers["content-digest"]).toBe(digest);
});

it("the client's framing is kept if size.reframe is off, and the last chunk is held back", async () => {
  const { port } = await scene.startAnother({ size: { reframe: false }, upload: { relay: "auto" } });
  const wrong = { "Content-Digest": sha256Field(Buffer.from("other")) };
  const answer = await upload({ ...CHUNKED, [SIZE]: BODY.length, ...wrong }, BODY, "", port);
  expect(answer.status).toBe(400);
  await Promise.all(scene.upstream.uploads.map(({ over }) => over));
  expect(scene.upstream.uploads.map(({ complete }) => complete)).toEqual([false]);
});

describe("a spooled body", () => {
  const spooled = { size: { unknown: "spool" }, upload: { relay: "auto" } } as const;

  it("is sent if its digest is right, and otherwise Glance gets no upload", async () => {
    const { port } = await scene.startAnother(spooled);
    const headers = { ...CHUNKED, Trailer: "Repr-Digest" };
    const wrong = `Repr-Digest: ${sha256Field(Buffer.from("other"))}\r\n`;
    expect((await upload(headers, BODY, wrong, port)).text).toContain("Digest mismatch: Repr-Digest");
    expect(scene.upstream.uploads).toEqual([]);
    expect((await upload(headers, BODY, `Repr-Digest: ${sha256Field(BODY)}\r\n`, port)).status).toBe(204);
    expect(scene.upstream.uploads[0]?.headers[SIZE]).toBe(String(BODY.length));
  });

  it.each([false, true])("is hashed once if it does not fit: right %s", async (isRight) => {
    const { port } = await scene.startAnother({
      ...spooled,
      spool: { maxPerUpload: "1MiB", onFull: "forward" },
    });
    const digest = sha256Field(isRight ? BODY : Buffer.from("other"));
    const answer = await upload({ ...CHUNKED, "Content-Digest": digest }, BODY, "", port);
    expect(answer.status).toBe(isRight ? 204 : 400);
    await Promise.all(scene.upstream.uploads.map(({ over }) => over));
    expect(scene.upstream.uploads.map(({ complete }) => complete)).toEqual([isRight]);
  });
});
