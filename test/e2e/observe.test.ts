/** With `enforce: false`, nothing is refused for its size: Glance gets what the client sent, and what would have been refused is told. */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { sha256 } from "../support/bytes.js";
import { startCommand } from "../support/cli.js";
import { createImage, OCTET_STREAM, showImage } from "../support/glance-client.js";
import { borrowGlance } from "../support/lent-glances.js";
import { type HeaderValues, request } from "../support/raw-http.js";
import type { RealGlance } from "../support/real-glance.js";
import { answerEarly } from "../support/recording-upstream.js";
import { describeWith } from "../support/requirements.js";
import { CHUNKED, FILE, readSlowly, SIZE, useScene } from "./scene.js";

const OBSERVING = { enforce: false, limits: { maxImageSize: 10 } };

const scene = useScene(OBSERVING);

/** What reached Glance of each upload, after transfer-decoding. */
let bodies: string[] = [];

beforeEach(() => {
  bodies = [];
  scene.upstream.onUpload = (incoming, response) => {
    const pieces: Buffer[] = [];
    incoming.on("data", (piece: Buffer) => pieces.push(piece));
    incoming.once("end", () => {
      bodies.push(Buffer.concat(pieces).toString());
      response.writeHead(204).end();
    });
  };
});

/** The lines of an upload's head that tell of its size, as they reached Glance. */
function sizeLines(): string[] {
  const [upload] = scene.upstream.uploads;
  return (upload?.rawHeaders ?? []).flatMap((name, index, all) =>
    index % 2 === 0 && /^(content-length|transfer-encoding|content-range|upload-length|.*-size)$/i.test(name)
      ? [`${name.toLowerCase()}: ${all[index + 1]}`]
      : [],
  );
}

async function put(headers: HeaderValues, body: string, port = scene.proxy.port): Promise<number> {
  const bytes = "Transfer-Encoding" in headers ? `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n` : body;
  return (await request(port, "PUT", FILE, { headers, body: bytes })).status;
}

const CASES: [string, HeaderValues, string, string, string | undefined, string[]][] = [
  [
    "one byte over",
    { ...CHUNKED, [SIZE]: 5 },
    "hello!",
    "size_exceeded",
    "Size exceeds: expected 5 bytes, got 6 bytes",
    [`${SIZE}: 5`, "transfer-encoding: chunked"],
  ],
  [
    "one byte short",
    { ...CHUNKED, [SIZE]: 5 },
    "hell",
    "size_mismatch",
    "Size mismatch: expected 5 bytes, got 4 bytes",
    [`${SIZE}: 5`, "transfer-encoding: chunked"],
  ],
  [
    "a size that is not a number",
    { ...CHUNKED, [SIZE]: "abc" },
    "hello",
    "invalid_size",
    `Invalid or missing image size in request headers. (${SIZE}: "abc")`,
    [`${SIZE}: abc`, "transfer-encoding: chunked"],
  ],
  [
    "two lines of the size",
    { "Content-Length": 5, [SIZE]: ["5", "5"] },
    "hello",
    "invalid_size",
    `Invalid or missing image size in request headers. (${SIZE}: "5, 5")`,
    [`${SIZE}: 5`, `${SIZE}: 5`, "content-length: 5"],
  ],
  [
    "sizes that contradict each other",
    { "Content-Length": 5, [SIZE]: 4, "Upload-Length": 4 },
    "hello",
    "size_exceeded",
    `Size exceeds: expected 4 bytes, got 5 bytes (${SIZE}: 4, Content-Length: 5)`,
    [`${SIZE}: 4`, "upload-length: 4", "content-length: 5"],
  ],
  [
    "a declared size over limits.maxImageSize",
    { "Content-Length": 11 },
    "hello, glance".slice(0, 11),
    "too_large",
    "The incoming image is too large: 11 bytes. The maximum is 10 bytes.",
    ["content-length: 11"],
  ],
  [
    "a body of unknown size over limits.maxImageSize",
    CHUNKED,
    "hello, world",
    "too_large",
    "The incoming image is too large: 12 bytes. The maximum is 10 bytes.",
    ["transfer-encoding: chunked"],
  ],
  [
    "a part of an image",
    { "Content-Length": 2, "Content-Range": "bytes 3-4/5" },
    "lo",
    "content_range",
    "Content-Range: not allowed with an upload. Send the whole image.",
    ["content-range: bytes 3-4/5", "content-length: 2"],
  ],
  [
    "a right size in a header",
    { ...CHUNKED, [SIZE]: 5 },
    "hello",
    "completed",
    undefined,
    [`${SIZE}: 5`, "transfer-encoding: chunked"],
  ],
  ["a right Content-Length", {}, "hello", "completed", undefined, ["content-length: 5"]],
  ["a body of unknown size", CHUNKED, "hello", "completed", undefined, ["transfer-encoding: chunked"]],
];

it.each([
  [{ "Content-Length": 5, [SIZE]: ["5", "6"] }, `${SIZE}: "5, 6"`, "content_length", 5],
  [{ ...CHUNKED, "Upload-Length": "5x" }, 'upload-length: "5x"', "unknown", undefined],
])(
  "the record of an upload with an invalid size tells what was announced: %o",
  async (headers, invalidSize, sizeSource, declaredBytes) => {
    expect(await put(headers, "hello")).toBe(204);
    const told = { outcome: "completed", verdict: "invalid_size", invalidSize, sizeSource };
    const [record] = (await scene.proxy.uploads()).finished;
    const [line] = scene.proxy.logged.filter(({ msg }) => msg === "upload");
    for (const one of [record, line]) {
      expect(one).toMatchObject(told);
      expect(one?.declaredBytes).toBe(declaredBytes);
    }
  },
);

it.each([
  ["wrong", `sha-256=:${Buffer.alloc(32).toString("base64")}:`],
  ["malformed", "sha-256=1"],
])("an upload with a %s digest is passed on, and the refusal is told", async (_, digest) => {
  const peer = await scene.startUpload({ "Content-Digest": digest });
  peer.sendChunk("hello").endChunks();
  expect((await peer.response()).status).toBe(204);
  expect(bodies).toEqual(["hello"]);
  expect(await scene.proxy.metric('uploads_observed_total{verdict="digest_mismatch"}')).toBe(1);
});

it("a rule for uploads of unknown size refuses and spools nothing, and the refusal is told", async () => {
  const rules = [{ client: ["curl" as const], unknown: "reject" as const }, { unknown: "spool" as const }];
  const other = await scene.startAnother({ enforce: false, size: { rules } });
  for (const agent of ["curl/8", "other"]) {
    const peer = await scene.startUpload({ "User-Agent": agent }, FILE, other.port);
    peer.sendChunk("hello").endChunks();
    expect((await peer.response()).status).toBe(204);
  }
  expect(scene.upstream.uploads.map(({ headers }) => headers[SIZE])).toEqual([undefined, undefined]);
  expect(await other.metric('uploads_observed_total{verdict="length_required"}')).toBe(1);
  expect(await other.metric('unknown_size_rules_total{rule="1",policy="spool"}')).toBe(1);
});

describe("Glance gets the upload as it came, and the verdict is counted, logged and shown", () => {
  it.each(CASES)("%s", async (_, headers, body, verdict, verdictReason, lines) => {
    expect(await put(headers, body)).toBe(204);
    expect(bodies).toEqual([body]);
    expect(sizeLines()).toEqual(lines);
    const told = { outcome: "completed", verdict, ...(verdictReason && { verdictReason }) };
    expect((await scene.proxy.uploads()).finished).toMatchObject([told]);
    expect(scene.proxy.logged.find(({ msg }) => msg === "upload")).toMatchObject(told);
    const { text } = await request(scene.proxy.adminPort, "GET", "/metrics");
    expect(text.match(/^glance_size_proxy_uploads_observed_total.* [^0]$/gm)).toEqual([
      `glance_size_proxy_uploads_observed_total{verdict="${verdict}"} 1`,
    ]);
    expect(await scene.proxy.metric('reframed_uploads_total{operation="file"}')).toBe(0);
  });
});

it.each([
  [{ unknown: "reject" as const }, {}, "length_required"],
  [{ unknown: "spool" as const }, {}, "completed"],
  [{ unknown: "spool" as const }, { maxPerUpload: 4, onFull: "reject" as const }, "too_large"],
  [{ unknown: "spool" as const }, { maxPerUpload: 4 }, "completed"],
])("with size %j and spool %j a body of unknown size is passed on at once", async (size, spool, verdict) => {
  const proxy = await scene.startAnother({ enforce: false, size, spool });
  const peer = await scene.startUpload({}, FILE, proxy.port);
  const upload = await scene.uploadUpstream(); // before the body, so nothing is spooled
  peer.sendChunk("hello").endChunks();
  expect((await peer.response()).status).toBe(204);
  await upload.over;
  expect(bodies).toEqual(["hello"]);
  expect(await proxy.metric(`uploads_observed_total{verdict="${verdict}"}`)).toBe(1);
  const looks = scene.upstream.requests.filter(({ target }) => target === "/v2/images/one");
  expect(looks).toEqual([]);
});

it("a large body that Glance reads slowly passes whole, though it is longer than declared", async () => {
  const body = randomBytes(3_000_000);
  const seen = readSlowly(scene.upstream);
  const peer = await scene.startUpload({ [SIZE]: 2_999_999 });
  peer.sendChunk(body.subarray(0, 1_500_000)).sendChunk(body.subarray(1_500_000)).endChunks();
  expect((await peer.response()).status).toBe(204);
  expect(seen.digest()).toBe(sha256(body));
  expect(await scene.proxy.metric('uploads_observed_total{verdict="too_large"}')).toBe(1);
});

it("the rest of an upload that has just failed is passed on", async () => {
  const accept = scene.upstream.onUpload;
  scene.upstream.onUpload = answerEarly(401, "who are you");
  expect(await put({}, "hello")).toBe(401);
  scene.upstream.onUpload = accept;
  expect(await put({}, "")).toBe(204);
  expect(await put({}, "")).toBe(204);
  const verdicts = (await scene.proxy.uploads()).finished.map(({ verdict }) => verdict);
  expect(verdicts).toEqual(["completed", "size_mismatch", "upstream_rejected"]);
  expect(await scene.proxy.metric("replays_refused_total")).toBe(0);
});

describe("refused nevertheless", () => {
  it.each([
    ["with Content-Length", { "Content-Length": 5 }, "hell"],
    ["in chunks", { ...CHUNKED, [SIZE]: 5 }, "4\r\nhell\r\n"],
    ["in the middle of the last chunk", CHUNKED, "4\r\nhell\r\n0\r\n"],
  ])("a body that breaks off is not completed: %s", async (_, headers, start) => {
    const peer = await scene.connect();
    peer.sendHead("PUT", FILE, headers).send(start);
    const upload = await scene.uploadUpstream();
    peer.reset();
    await upload.over;
    expect(upload.complete).toBe(false);
    await expect
      .poll(async () => (await scene.proxy.uploads()).finished)
      .toMatchObject([{ outcome: "client_aborted", verdict: "client_aborted" }]);
    expect(bodies).toEqual([]);
  });

  it("a body that was too long already when it broke off would have been refused for its length", async () => {
    const peer = await scene.startUpload({ [SIZE]: 3 });
    peer.sendChunk("hell");
    await scene.uploadUpstream();
    await expect
      .poll(async () => (await scene.proxy.uploads()).inFlight)
      .toMatchObject([{ receivedBytes: 4, verdict: "size_exceeded" }]);
    peer.reset();
    await expect
      .poll(async () => (await scene.proxy.uploads()).finished)
      .toMatchObject([{ outcome: "client_aborted", verdict: "size_exceeded" }]);
  });

  it.each([
    ["a Content-Length that two servers could read differently", { "Content-Length": "05" }, "hello"],
    ["a chunk that is not HTTP", CHUNKED, "zz\r\n"],
  ])("%s", async (_, headers, body) => {
    expect((await request(scene.proxy.port, "PUT", FILE, { headers, body })).status).toBe(400);
    expect(bodies).toEqual([]);
  });

  it("an upload beyond limits.maxConcurrentUploads", async () => {
    const proxy = await scene.startAnother({ enforce: false, limits: { maxConcurrentUploads: 1 } });
    const first = await scene.startUpload({}, FILE, proxy.port);
    await scene.uploadUpstream();
    expect(await put({}, "hello", proxy.port)).toBe(429);
    first.endChunks();
    expect((await first.response()).status).toBe(204);
  });
});

it("the log warns at the start, and an enforcing proxy has no verdicts", async () => {
  const warns = (logged: readonly Record<string, unknown>[]): unknown[] =>
    logged.filter(({ level, msg }) => level === "warn" && String(msg).startsWith("enforce is false"));
  expect(warns(scene.proxy.logged)).toHaveLength(1);
  const enforcing = await scene.startAnother({});
  expect(warns(enforcing.logged)).toEqual([]);
  expect(await put({}, "hello", enforcing.port)).toBe(204);
  const [upload] = (await enforcing.uploads()).finished;
  expect(upload).not.toHaveProperty("verdict");
  expect(await enforcing.metric('uploads_observed_total{verdict="completed"}')).toBe(0);
});

it("an upload whose worker dies is counted with the rule that it had broken", async () => {
  const command = await startCommand(scene.upstream.url, {
    GLANCE_SIZE_PROXY_ENFORCE: "false",
    GLANCE_SIZE_PROXY_WORKERS: "2",
  });
  try {
    const bad = await scene.startUpload({ [SIZE]: "abc" }, FILE, command.port);
    const good = await scene.startUpload({}, FILE, command.port);
    for (const peer of [bad, good]) peer.sendChunk("hello");
    await expect.poll(async () => (await command.uploads()).inFlight.length).toBe(2);
    const children = await readFile(`/proc/${command.pid}/task/${command.pid}/children`, "utf8");
    for (const pid of children.trim().split(" ")) process.kill(Number(pid), "SIGKILL");
    await expect.poll(async () => (await command.uploads()).finished.length).toBe(2);
    const { finished } = await command.uploads();
    expect(finished.map(({ verdict }) => verdict).sort()).toEqual(["invalid_size", "upstream_error"]);
    for (const verdict of ["invalid_size", "upstream_error"]) {
      expect(await command.metric(`uploads_observed_total{verdict="${verdict}"}`)).toBe(1);
    }
  } finally {
    await command.stop();
  }
});

/** The command on a log, as it is piped from `journalctl`. */
async function reportOn(lines: readonly string[]): Promise<{ exitCode: unknown; report: unknown }> {
  const child = spawn(process.execPath, ["dist/cli.js", "report", "--from", "-", "--json"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.end(lines.map((line) => `Nov 26 10:00:00 host glance-size-proxy[1]: ${line}\n`).join(""));
  const exited = once(child, "exit");
  let text = "";
  for await (const piece of child.stdout.setEncoding("utf8")) text += String(piece);
  const [exitCode] = (await exited) as [number];
  return { exitCode, report: JSON.parse(text) };
}

describeWith(["glance-api"], "in front of a real Glance", () => {
  let glance: RealGlance;
  beforeAll(async () => {
    glance = await borrowGlance("eventlet");
  });
  afterAll(() => glance?.stop());

  /** What the upload's client sees, and the image afterwards. */
  async function upload(headers: HeaderValues, body: string, port: number): Promise<unknown> {
    const id = await createImage(glance.port);
    const chunked = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
    const answer = await request(port, "PUT", `/v2/images/${id}/file`, {
      headers: { ...OCTET_STREAM, ...headers },
      body: "Transfer-Encoding" in headers ? chunked : body,
    });
    const { status, size, checksum } = await showImage(glance.port, id);
    return { answer: answer.status, status, size, checksum };
  }

  it.each(["1", "2"])("with %s workers each upload ends as it ends without the proxy", async (workers) => {
    const command = await startCommand(glance.url, {
      GLANCE_SIZE_PROXY_ENFORCE: "false",
      GLANCE_SIZE_PROXY_WORKERS: workers,
      GLANCE_SIZE_PROXY_LIMITS__MAX_IMAGE_SIZE: "10",
    });
    try {
      for (const [name, headers, body] of CASES) {
        const direct = await upload(headers, body, glance.port);
        expect([name, await upload(headers, body, command.port)]).toEqual([name, direct]);
        expect(direct).toMatchObject({ answer: 204, status: "active", size: body.length });
      }
      for (const verdict of new Set(CASES.map(([, , , verdict]) => verdict))) {
        const count = CASES.filter(([, , , other]) => other === verdict).length;
        expect(await command.metric(`uploads_observed_total{verdict="${verdict}"}`)).toBe(count);
      }
      expect(await reportOn(command.lines)).toMatchObject({
        exitCode: 1,
        report: {
          ...{ uploads: CASES.length, observed: CASES.length },
          refused: CASES.filter(([, , , verdict]) => verdict !== "completed").length,
          undeclared: { uploads: 2, largestBytes: 12 },
          clients: [{ client: "other", program: "(no User-Agent)", peers: [{ address: "127.0.0.1" }] }],
        },
      });
    } finally {
      await command.stop();
    }
  });
});
