/**
 * A client that is refused with 401, or loses its connection, sends again what it has already read to its end: the rest of the image,
 * or nothing. Through the proxy that becomes no image.
 */
import { beforeEach, describe, expect, it } from "vitest";
import { startCommand } from "../support/cli.js";
import { type HeaderValues, type RawResponse, request } from "../support/raw-http.js";
import { answerEarly, resetAtFirstByte, type UploadScript } from "../support/recording-upstream.js";
import { CHUNKED, FILE, SIZE, STAGE, useScene } from "./scene.js";

const AGENT = { "User-Agent": "python-glanceclient" };

// The upstream here never shows that it has begun an upload: no need to wait for that as long as for a Glance.
const scene = useScene({ rollback: { timeout: "500ms", interval: "10ms" } });

function put(
  body: string,
  headers: HeaderValues = {},
  target = FILE,
  port = scene.proxy.port,
): Promise<RawResponse> {
  const isChunked = "Transfer-Encoding" in headers;
  const bytes = isChunked
    ? (body === "" ? "" : `${body.length.toString(16)}\r\n${body}\r\n`) + "0\r\n\r\n"
    : body;
  return request(port, "PUT", target, { headers: { ...AGENT, ...headers }, body: bytes });
}

/** The first upload meets this; what comes after is accepted. */
function failOnce(script: UploadScript): void {
  const accept = scene.upstream.onUpload;
  scene.upstream.onUpload = (incoming, response) => {
    scene.upstream.onUpload = accept;
    script(incoming, response);
  };
}

const readThenAnswer =
  (status: number): UploadScript =>
  (incoming, response) => {
    response.writeContinue();
    incoming.resume().once("end", () => response.writeHead(status).end());
  };

const failures: [string, UploadScript, number][] = [
  ["401, early", answerEarly(401, "who are you"), 401],
  ["401", readThenAnswer(401), 401],
  ["503", readThenAnswer(503), 503],
  ["502", readThenAnswer(502), 502],
  ["a reset", resetAtFirstByte, 502],
];

describe.each(failures)("after %s", (_, script, status) => {
  beforeEach(() => {
    failOnce(script);
    scene.upstream.imageSize = null;
  });

  it.each([
    ["Content-Length", {}, {}],
    ["chunked", CHUNKED, CHUNKED],
    ["Content-Length, then chunked", {}, CHUNKED],
    ["chunked, then Content-Length", CHUNKED, {}],
  ])("an empty upload is refused: %s", async (_framing, first, second) => {
    expect((await put("hello", first)).status).toBe(status);
    const before = scene.upstream.uploads.length;
    const answer = await put("", second);
    expect(answer.status).toBe(400);
    expect(answer.text).toContain("Size mismatch: expected 5 bytes, got 0 bytes");
    expect(answer.text).toContain("x-openstack-image-size");
    expect(scene.upstream.uploads.slice(before).filter(({ complete }) => complete)).toEqual([]);
    expect(await scene.proxy.metric("replays_refused_total")).toBe(1);
    const lines = scene.proxy.logged.filter(({ msg }) => msg === "upload");
    expect(lines.at(-1)).toMatchObject({ outcome: "size_mismatch" });
  });

  it("the rest of a declared body is refused, also as a body of unknown size", async () => {
    expect((await put("hello", { [SIZE]: 5 })).status).toBe(status);
    const before = scene.upstream.uploads.length;
    expect((await put("lo")).text).toContain("Size mismatch: expected 5 bytes, got 2 bytes");
    expect((await put("lo", CHUNKED)).text).toContain("Size mismatch: expected 5 bytes, got 2 bytes");
    expect(scene.upstream.uploads.slice(before).filter(({ complete }) => complete)).toEqual([]);
  });

  it.each([
    ["with its size in the header", "lo", { [SIZE]: 2 }, FILE],
    ["of the whole body", "hello", {}, FILE],
    ["of the whole body, in chunks", "hello", CHUNKED, FILE],
    ["of more", "hello, world", CHUNKED, FILE],
    ["to another operation", "", {}, STAGE],
    ["to another image", "", {}, "/v2/images/two/file"],
    ["by another program", "", { "User-Agent": "curl/8" }, FILE],
  ] as const)("an upload %s works", async (_name, body, headers, target) => {
    expect((await put("hello")).status).toBe(status);
    expect((await put(body, headers, target)).status).toBe(204);
    expect(await scene.proxy.metric("replays_refused_total")).toBe(0);
  });

  it("a success clears the memory", async () => {
    expect((await put("hello")).status).toBe(status);
    expect((await put("hello")).status).toBe(204);
    expect((await put("")).status).toBe(204);
  });
});

it("a retry shorter than a body of unknown size is accepted", async () => {
  failOnce(readThenAnswer(401));
  expect((await put("hello", CHUNKED)).status).toBe(401);
  expect((await put("lo", CHUNKED)).status).toBe(204);
});

it("a client that leaves in the middle of its body is remembered", async () => {
  const peer = await scene.startUpload({ ...AGENT, [SIZE]: 5 });
  peer.sendChunk("hell");
  await scene.uploadUpstream();
  peer.reset();
  await expect.poll(() => scene.proxy.logged.some(({ outcome }) => outcome === "client_aborted")).toBe(true);
  expect((await put("o")).status).toBe(400);
});

it("discarded body bytes count as read for the replay guard", async () => {
  failOnce(answerEarly(401, "who are you"));
  const peer = await scene.startUpload({ ...AGENT, Expect: "100-continue" });
  expect((await peer.response()).status).toBe(401);
  peer.sendChunk("hello").endChunks();
  await peer.closed();
  expect((await put("", CHUNKED)).text).toContain("expected 5 bytes, got 0 bytes");
});

it("body bytes that arrive during the look-up count as read for the replay guard", async () => {
  scene.upstream.onUpload = (incoming) => void incoming.socket.resetAndDestroy();
  let answer: (() => void) | undefined;
  scene.upstream.answerLookUp = (response) => {
    answer = () => response.end(JSON.stringify({ status: "queued", size: null }));
  };
  const peer = await scene.startUpload(AGENT);
  await expect.poll(() => answer).toBeDefined();
  peer.sendChunk("hello").endChunks();
  await scene.roundTrip();
  answer?.();
  expect((await peer.response()).status).toBe(502);
  expect((await put("", CHUNKED)).text).toContain("expected 5 bytes, got 0 bytes");
});

it("body bytes that arrive during Glance's answer count as read for the replay guard", async () => {
  let endAnswer = (): void => undefined;
  failOnce((_incoming, response) => {
    response.writeHead(401, { "content-length": 3 }).flushHeaders();
    endAnswer = () => response.end("who");
  });
  const peer = await scene.startUpload(AGENT);
  await scene.uploadUpstream();
  await scene.roundTrip();
  peer.sendChunk("hello").endChunks();
  await scene.roundTrip();
  endAnswer();
  expect((await peer.response()).status).toBe(401);
  expect((await put("", CHUNKED)).text).toContain("expected 5 bytes, got 0 bytes");
});

it.each([
  ["401", answerEarly(401, "who are you"), 401],
  ["a reset", (incoming) => void incoming.socket.resetAndDestroy(), 502],
])("nothing is remembered of a body of which nothing was read: %s", async (_, script, status) => {
  failOnce(script);
  const peer = await scene.startUpload({ ...AGENT, Expect: "100-continue", [SIZE]: 5_000_000 });
  expect((await peer.response()).status).toBe(status);
  peer.destroy();
  expect((await put("hello")).status).toBe(204);
});

it("an empty upload whose first try was empty, too, works", async () => {
  failOnce(answerEarly(401, "who are you"));
  expect((await put("")).status).toBe(401);
  expect((await put("")).status).toBe(204);
});

it.each([400, 403, 404, 409, 413, 500])("nothing is remembered after %i", async (status) => {
  failOnce(readThenAnswer(status));
  expect((await put("hello")).status).toBe(status);
  expect((await put("")).status).toBe(204);
});

it("a spooled body that turns out empty is refused, and Glance hears nothing", async () => {
  const { port } = await scene.startAnother({ size: { unknown: "spool" } });
  failOnce(readThenAnswer(401));
  expect((await put("hello", CHUNKED, FILE, port)).status).toBe(401);
  const before = scene.upstream.uploads.length;
  expect((await put("", CHUNKED, FILE, port)).status).toBe(400);
  expect(scene.upstream.uploads).toHaveLength(before);
});

it.each([
  ["replay.guard: false", { replay: { guard: false } }],
  ["replay.window: 0", { replay: { window: 0 } }],
] as const)("%s turns the replay guard off", async (_, config) => {
  const { port } = await scene.startAnother(config);
  failOnce(readThenAnswer(401));
  expect((await put("hello", {}, FILE, port)).status).toBe(401);
  expect((await put("", {}, FILE, port)).status).toBe(204);
});

it("all workers share the memory of failed uploads", async () => {
  const command = await startCommand(scene.upstream.url, { GLANCE_SIZE_PROXY_WORKERS: "2" });
  try {
    for (let image = 0; image < 10; image += 1) {
      const target = `/v2/images/image-${image}/file`;
      failOnce(readThenAnswer(401));
      expect((await put("hello", {}, target, command.port)).status).toBe(401);
      // Each on a connection of its own, so by turns to either worker.
      for (let count = 0; count < 3; count += 1) {
        expect((await put("", {}, target, command.port)).status).toBe(400);
      }
    }
    expect(await command.metric("replays_refused_total")).toBe(30);
  } finally {
    await command.stop();
  }
});

it("an answer of success that is broken off, of an image that is then not seen, leaves the memory as it was", async () => {
  // The answer breaks off while the worker waits for the primary process to forget the upload.
  const command = await startCommand(scene.upstream.url, { GLANCE_SIZE_PROXY_WORKERS: "2" });
  try {
    failOnce(readThenAnswer(401));
    expect((await put("hello", {}, FILE, command.port)).status).toBe(401);
    failOnce((incoming) => {
      const answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n";
      incoming.resume().once("end", () => incoming.socket.end(answer));
    });
    scene.upstream.answerLookUp = (response) => void response.writeHead(404).end();
    const { status, text } = await put("hello", { [SIZE]: 5 }, FILE, command.port);
    expect([status, text]).toEqual([504, expect.stringContaining("The whole image was sent")]);
    const { text: refusal } = await put("lo", {}, FILE, command.port);
    expect(refusal).toContain("Size mismatch: expected 5 bytes, got 2 bytes");
  } finally {
    await command.stop();
  }
});
