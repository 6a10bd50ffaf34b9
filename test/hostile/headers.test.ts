/**
 * Heads and framings that two servers could read in two ways, byte by byte. Through the proxy an image comes to life with
 * exactly its data or not at all, and what stands behind a request is either the next one or nothing.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { SERVER_REQUIREMENTS } from "../support/glance-servers.js";
import { startProxy, type TestProxy } from "../support/proxy.js";
import { connect, IncompleteResponse, type RawResponse, request } from "../support/raw-http.js";
import { type RecordingUpstream, startRecordingUpstream } from "../support/recording-upstream.js";
import { describeWith } from "../support/requirements.js";
import {
  type Holding,
  holding,
  inquire,
  type Inquiry,
  type Operation,
  type Reply,
  send,
  SERVERS,
  type Stage,
  untilUntouched,
  UNTOUCHED,
} from "./hostile-client.js";

const CRLF = "\r\n";
const SIZE = "x-openstack-image-size";
const HELLO = "5\r\nhello\r\n0\r\n\r\n";
const TOO_LONG = "6\r\nhello!\r\n0\r\n\r\n";
/** Never to be seen by Glance: it stands where only a second reader would find a request. */
const HIDDEN = "GET /hidden HTTP/1.1\r\nHost: glance.test\r\n\r\n";
const SECOND = "GET /second HTTP/1.1\r\nHost: glance.test\r\n\r\n";

/** How the proxy frames an upload towards Glance: by the length it knows, or in chunks. */
type Framing = "length" | "chunks";

interface Row {
  readonly name: string;
  readonly bytes: (target: string) => string;
  /** Undefined: the connection ends without an answer. */
  readonly status: number | undefined;
  /** The end of the message is in doubt: the answer says that nothing more is read from the connection. */
  readonly closes?: true;
  /** What Glance is sent, if it is sent anything: five bytes, `hello`. */
  readonly sent?: Framing;
  /** The message is not whole: only the end of the connection ends it. */
  readonly unfinished?: true;
}

/** An upload with the lines as they are; `Host` and `Content-Type` are added. */
function put(lines: readonly string[], body: string): Row["bytes"] {
  return (target) =>
    [
      `PUT ${target} HTTP/1.1`,
      "Host: glance.test",
      "Content-Type: application/octet-stream",
      ...lines,
      "",
      body,
    ].join(CRLF);
}

function accepted(name: string, sent: Framing, lines: readonly string[], body: string): Row {
  return { name, bytes: put(lines, body), status: 204, sent };
}

function refused(name: string, status: number, lines: readonly string[], body: string): Row {
  return { name, bytes: put(lines, body), status };
}

/** Begun, and destroyed when the body turns out to be broken; the client can read why. */
function broken(name: string, body: string): Row {
  return { name, bytes: put(["Transfer-Encoding: chunked"], body), status: 400 };
}

/** A chunk that holds a whole request. */
const HIDING = `${HIDDEN.length.toString(16)}\r\n${HIDDEN}\r\n0\r\n\r\n`;
const CHUNKED = "Transfer-Encoding: chunked";
const FIVE = `${SIZE}: 5`;

const ROWS: readonly Row[] = [
  accepted("an honest upload in chunks", "length", [CHUNKED, FIVE], HELLO),
  accepted("an honest upload of a length", "length", ["Content-Length: 5"], "hello"),
  accepted("an honest upload of unknown size", "chunks", [CHUNKED], HELLO),

  // WSGI cannot tell an underscore from a hyphen.
  accepted("Content_Length beside chunks", "chunks", ["Content_Length: 0", CHUNKED], HELLO),
  accepted(
    "Content_Length beside Content-Length",
    "length",
    ["Content_Length: 0", "Content-Length: 5"],
    "hello",
  ),
  accepted(
    "Transfer_Encoding: chunked beside a length",
    "length",
    ["Transfer_Encoding: chunked", "Content-Length: 5"],
    "hello",
  ),
  accepted("Transfer_Encoding: gzip beside chunks", "chunks", ["Transfer_Encoding: gzip", CHUNKED], HELLO),
  accepted(
    "Transfer_encoding: identity beside chunks of a told size",
    "length",
    ["Transfer_encoding: identity", CHUNKED, FIVE],
    HELLO,
  ),
  accepted(
    "X_Openstack_Image_Size that is wrong",
    "length",
    ["X_Openstack_Image_Size: 4", CHUNKED, FIVE],
    HELLO,
  ),
  accepted("X-Openstack_Image-Size alone", "chunks", ["X-Openstack_Image-Size: 4", CHUNKED], HELLO),
  accepted("X_Image_Meta_Size that is wrong", "length", ["X_Image_Meta_Size: 4", CHUNKED, FIVE], HELLO),
  accepted("Content_Type", "length", ["Content_Type: text/plain", "Content-Length: 5"], "hello"),
  accepted("Expect_ and _", "length", ["Expect_: 100-continue", "_: x", "Content-Length: 5"], "hello"),
  refused("Content_Length alone", 400, ["Content_Length: 5", FIVE], "hello"),
  refused("Transfer_Encoding alone", 400, ["Transfer_Encoding: chunked", FIVE], HELLO),

  // Transfer-Encoding.
  accepted("Transfer-Encoding: Chunked", "length", ["Transfer-Encoding: Chunked", FIVE], HELLO),
  accepted(
    "Transfer-Encoding with blanks around",
    "length",
    ["Transfer-Encoding: \t  chunked  ", FIVE],
    HELLO,
  ),
  ...["gzip, chunked", "identity, chunked", "chunked;q=1, chunked", ",chunked"].map((coding) => ({
    ...refused(`Transfer-Encoding: ${coding}`, 501, [`Transfer-Encoding: ${coding}`, FIVE], HELLO),
    closes: true as const,
  })),
  ...["chunked, chunked", "chunked,", "chunked, identity", "\x0bchunked"].map((coding) =>
    refused(
      `Transfer-Encoding: ${JSON.stringify(coding)}`,
      400,
      [`Transfer-Encoding: ${coding}`, FIVE],
      HELLO,
    ),
  ),
  // Node's parser gives the head to the proxy, and up on the body, in one go; the answer is read all the same.
  ...["gzip", "identity", "xchunked", "chunked;q=1", '"chunked"', "chunked gzip", "chunked\xa0"].map(
    (coding) =>
      refused(
        `Transfer-Encoding: ${JSON.stringify(coding)}`,
        501,
        [`Transfer-Encoding: ${coding}`, FIVE],
        HELLO,
      ),
  ),
  refused('Transfer-Encoding: "chunked\\t"', 400, ["Transfer-Encoding: chunked\t", FIVE], HELLO),
  refused("Transfer-Encoding: nothing", 400, ["Transfer-Encoding:", FIVE], HELLO),
  refused("Transfer-Encoding twice", 400, [CHUNKED, CHUNKED], HELLO),
  refused("Transfer-Encoding: chunked, then gzip", 400, [CHUNKED, "Transfer-Encoding: gzip"], HELLO),
  refused("Transfer-Encoding: gzip, then chunked", 501, ["Transfer-Encoding: gzip", CHUNKED], HELLO),
  refused("Transfer-Encoding: chunked, then nothing", 400, [CHUNKED, "Transfer-Encoding:"], HELLO),

  // Content-Length.
  accepted("Content-Length with blanks around", "length", ["Content-Length: \t  5  "], "hello"),
  ...[
    "05",
    "+5",
    "-5",
    "5.0",
    "0x5",
    "5 5",
    "5,5",
    "5, 5",
    "5_0",
    "",
    " ",
    "five",
    "9007199254740992",
    "9007199254740993",
    "18446744073709551621",
    "\xb25",
    "5;",
  ].map((length) =>
    refused(`Content-Length: ${JSON.stringify(length)}`, 400, [`Content-Length: ${length}`], "hello"),
  ),
  refused("Content-Length twice, equal", 400, ["Content-Length: 5", "Content-Length: 5"], "hello"),
  refused("Content-Length twice, 5 and 0", 400, ["Content-Length: 5", "Content-Length: 0"], "hello"),
  refused("Content-Length twice, 0 and 5", 400, ["Content-Length: 0", "content-length: 5"], "hello"),
  refused("chunks beside Content-Length", 400, [CHUNKED, "Content-Length: 5"], "0\r\n\r\n" + HIDDEN),
  refused("Content-Length beside chunks", 400, ["Content-Length: 5", CHUNKED], "0\r\n\r\n" + HIDDEN),
  refused("Content-Length beside gzip", 400, ["Content-Length: 5", "Transfer-Encoding: gzip"], "hello"),
  refused("Content-Length of less than is told", 400, [FIVE, "Content-Length: 4"], "hell"),
  refused("Content-Length of more than is told", 400, [FIVE, "Content-Length: 6"], "hello!"),
  { ...refused("Content-Length of more than comes", 400, ["Content-Length: 6"], "hello"), unfinished: true },
  accepted(
    "Content-Length of less than comes: the rest is rubbish",
    "length",
    ["Content-Length: 5"],
    "hello!",
  ),

  // Host, and versions of HTTP.
  refused("Host twice", 400, ["Host: other.test", CHUNKED], HELLO),
  refused("Host twice, equal", 400, ["Host: glance.test", CHUNKED], HELLO),
  ...(
    [
      ["no Host", 400, "HTTP/1.1", [CHUNKED], HELLO],
      ["chunks in HTTP/1.0", 400, "HTTP/1.0", ["Host: a", CHUNKED], HELLO],
      [
        "chunks in HTTP/1.0 that keeps alive",
        400,
        "HTTP/1.0",
        ["Host: a", "Connection: keep-alive", CHUNKED],
        HIDING,
      ],
      ["HTTP/0.9", 400, "HTTP/0.9", ["Host: a", "Content-Length: 5"], "hello"],
      ["HTTP/1.2", 400, "HTTP/1.2", ["Host: a", "Content-Length: 5"], "hello"],
      ["HTTP/2.0", 400, "HTTP/2.0", ["Host: a", "Content-Length: 5"], "hello"],
      ["http/1.1", 400, "http/1.1", ["Host: a", "Content-Length: 5"], "hello"],
      ["no version", 400, "", ["Host: a", "Content-Length: 5"], "hello"],
      ["HTTP/2.0 and no body", 400, "HTTP/2.0", ["Host: a", "Content-Length: 0"], ""],
      ["HTTP/1.01", 400, "HTTP/1.01", ["Host: a", "Content-Length: 5"], "hello"],
    ] as const
  ).map(([name, status, version, lines, body]): Row => ({
    name,
    status,
    bytes: (target) => [`PUT ${target} ${version}`, ...lines, "", body].join(CRLF),
  })),

  // Lines.
  refused("a bare LF between headers", 400, ["X-A: 1\nContent-Length: 0", CHUNKED], HELLO),
  refused("a bare LF at the end of the head", 400, ["Content-Length: 0\n\nhello"], ""),
  refused("a bare CR", 400, ["X-A: 1\rContent-Length: 0", CHUNKED], HELLO),
  refused("a NUL in a value", 400, ["X-A: 1\x00Content-Length: 0", CHUNKED], HELLO),
  refused("a folded header", 400, ["X-A: 1", " Content-Length: 0", CHUNKED], HELLO),
  refused("a folded Transfer-Encoding", 400, ["Transfer-Encoding:", "\tchunked", FIVE], HELLO),
  refused("a folded size", 400, [`${SIZE}: 1`, " 5", CHUNKED], HELLO),
  refused("a blank before the colon", 400, ["Content-Length : 0", CHUNKED], HELLO),
  refused("a tab before the colon", 400, ["Transfer-Encoding\t: chunked", FIVE], HELLO),
  refused("a line without a colon", 400, ["Content-Length 0", CHUNKED], HELLO),
  refused("a header without a name", 400, [": 0", CHUNKED], HELLO),
  refused("a name beyond ASCII", 400, ["Content\xadLength: 0", CHUNKED], HELLO),
  accepted("a value beyond ASCII", "length", ["X-A: \x85\xa0\xff", CHUNKED, FIVE], HELLO),
  {
    name: "a blank before the first header",
    status: 400,
    bytes: (target) => `PUT ${target} HTTP/1.1\r\n Host: a\r\nContent-Length: 5\r\n\r\nhello`,
  },

  // Hop-by-hop: dropped before the proxy's own are added.
  ...[
    SIZE,
    "close, X-OpenStack-Image-Size",
    "content-length",
    "host, content-length, transfer-encoding",
    `keep-alive,,${SIZE},`,
  ].flatMap((named) => [
    accepted(`Connection: ${named}`, "length", [`Connection: ${named}`, CHUNKED, FIVE], HELLO),
    refused(
      `Connection: ${named}, one byte too many`,
      400,
      [`Connection: ${named}`, CHUNKED, FIVE],
      TOO_LONG,
    ),
  ]),
  accepted(
    "Connection: content-length, and a length",
    "length",
    ["Connection: content-length", "Content-Length: 5"],
    "hello",
  ),
  accepted(
    "Connection: x-image-meta-size",
    "length",
    ["Connection: x-image-meta-size", "X-Image-Meta-Size: 5", CHUNKED],
    HELLO,
  ),
  refused("two Connection lines", 400, ["Connection: host", `Connection: ${SIZE}`, CHUNKED, FIVE], TOO_LONG),
  accepted("Trailer", "length", ["Trailer: X-A", CHUNKED, FIVE], HELLO),
  accepted(
    "Trailer, and trailers",
    "length",
    [`Trailer: ${SIZE}`, CHUNKED, FIVE],
    `5\r\nhello\r\n0\r\n${SIZE}: 4\r\nX-A: 1\r\n\r\n`,
  ),
  accepted("trailers, of an unknown size", "chunks", [CHUNKED], `5\r\nhello\r\n0\r\n${SIZE}: 4\r\n\r\n`),
  accepted(
    "TE, Keep-Alive, Proxy-Connection",
    "length",
    ["TE: trailers, gzip", "Keep-Alive: timeout=5", "Proxy-Connection: close", CHUNKED, FIVE],
    HELLO,
  ),
  accepted(
    "Upgrade: websocket",
    "length",
    ["Connection: upgrade", "Upgrade: websocket", "Content-Length: 5"],
    "hello",
  ),
  accepted(
    "Upgrade: h2c, in chunks",
    "length",
    [
      "Connection: Upgrade, HTTP2-Settings",
      "Upgrade: h2c",
      "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
      CHUNKED,
      FIVE,
    ],
    HELLO,
  ),
  accepted("Expect, without waiting", "length", ["Expect: 100-continue", CHUNKED, FIVE], HELLO),
  refused("Expect, one byte too many", 400, ["Expect: 100-continue", CHUNKED, FIVE], TOO_LONG),
  refused("an Expect that nobody knows", 417, ["Expect: 200-ok", CHUNKED, FIVE], HELLO),

  // The declared size.
  refused("the size twice, equal", 400, [FIVE, FIVE, CHUNKED], HELLO),
  refused("the size twice, in two cases", 400, [FIVE, "X-OPENSTACK-IMAGE-SIZE: 6", CHUNKED], HELLO),
  refused("the size twice in a line", 400, [`${SIZE}: 5, 5`, CHUNKED], HELLO),
  refused("the size and nothing", 400, [FIVE, `${SIZE}:`, CHUNKED], HELLO),
  refused("a size of 05 that is 6", 400, [`${SIZE}: 05`, CHUNKED], TOO_LONG),
  accepted("a size of 05", "length", [`${SIZE}: 05`, CHUNKED], HELLO),
  ...["Upload-Length", "X-Upload-Content-Length", "X-Expected-Entity-Length"].map((hint) =>
    accepted(hint, "length", [`${hint}: 5`, CHUNKED], HELLO),
  ),
  ...["x-image-meta-size", "Upload-Length"].map((hint) =>
    refused(`${hint}, one byte too many`, 400, [`${hint}: 5`, CHUNKED], TOO_LONG),
  ),
  refused("a hint against the size", 400, ["X-Image-Meta-Size: 6", FIVE, CHUNKED], HELLO),
  refused("a hint against the length", 400, ["Upload-Length: 6", "Content-Length: 5"], "hello"),
  refused("a hint against another", 400, ["Upload-Length: 6", "X-Image-Meta-Size: 5", CHUNKED], HELLO),
  refused("a hint twice", 400, ["Upload-Length: 5", "Upload-Length: 5", CHUNKED], HELLO),
  refused("a hint of +5", 400, ["Upload-Length: +5", CHUNKED], HELLO),

  // Chunks.
  accepted("chunk extensions", "length", [CHUNKED, FIVE], '2;a=b\r\nhe\r\n3;c="d"\r\nllo\r\n0;e\r\n\r\n'),
  accepted("chunk sizes with zeros in front", "length", [CHUNKED, FIVE], "0005\r\nhello\r\n0000\r\n\r\n"),
  accepted(
    "single bytes",
    "length",
    [CHUNKED, FIVE],
    "1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n0\r\n\r\n",
  ),
  refused(
    "one byte too many, in a chunk of its own",
    400,
    [CHUNKED, FIVE],
    "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
  ),
  refused("one byte too few", 400, [CHUNKED, FIVE], "4\r\nhell\r\n0\r\n\r\n"),
  broken("a length among the trailers", "5\r\nhello\r\n0\r\nContent-Length: 4\r\n\r\n"),
  broken("a chunk size of +5", "+5\r\nhello\r\n0\r\n\r\n"),
  broken("a chunk size of -5", "-5\r\nhello\r\n0\r\n\r\n"),
  broken("a chunk size of 0x5", "0x5\r\nhello\r\n0\r\n\r\n"),
  broken("an empty chunk size", "\r\nhello\r\n0\r\n\r\n"),
  broken("a chunk size that overflows", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
  broken("a chunk size with a bare LF", "5\nhello\r\n0\r\n\r\n"),
  broken("a bare LF in a chunk extension", "5;a\nhello\r\n0\r\n\r\n" + HIDDEN),
  broken("a chunk longer than its size", "5\r\nhello!\r\n0\r\n\r\n"),
  broken("a chunk shorter than its size", "5\r\nhell\r\n0\r\n\r\n"),
  broken("a last chunk with a bare LF", "5\r\nhello\r\n0\n\n"),
  { ...broken("no last chunk", "5\r\nhello\r\n"), unfinished: true },
  { ...broken("a lone 0", "5\r\nhello\r\n0"), unfinished: true },
  { ...broken("a last chunk without its last line", "5\r\nhello\r\n0\r\n"), unfinished: true },
  { ...broken("a last chunk without its last LF", "5\r\nhello\r\n0\r\n\r"), unfinished: true },
];

/** Requests that are no uploads, for one image. `bytes`: the body that Glance is sent, if it is sent anything. */
const OTHERS: readonly {
  readonly name: string;
  readonly method: string;
  readonly lines: readonly string[];
  readonly body: string;
  readonly status: number;
  readonly bytes?: number;
}[] = [
  ...["DELETE", "OPTIONS"].flatMap((method) => [
    { name: `${method} with chunks`, method, lines: [CHUNKED], body: HIDING, status: 400 },
    {
      name: `${method} with chunks that Connection names`,
      method,
      lines: ["Connection: transfer-encoding", CHUNKED],
      body: HIDING,
      status: 400,
    },
  ]),
  ...["DELETE", "OPTIONS", "POST", "PATCH", "PROPFIND"].flatMap((method) =>
    [
      ["a length", []],
      ["a length that Connection names", ["Connection: content-length"]],
      ["a length and Content_Length", ["Content_Length: 0"]],
      ["a length and Transfer_Encoding", ["Transfer_Encoding: chunked"]],
    ].map(([what, lines]) => ({
      name: `${method} with ${String(what)}`,
      method,
      lines: [...(lines ?? []), `Content-Length: ${HIDDEN.length}`],
      body: HIDDEN,
      status: 200,
      bytes: HIDDEN.length,
    })),
  ),
  ...["POST", "PATCH", "PROPFIND"].flatMap((method) =>
    [
      ["chunks", []],
      ["chunks that Connection names", ["Connection: transfer-encoding, trailer"]],
      ["chunks and Content_Length", ["Content_Length: 0"]],
      ["chunks and Transfer_Encoding", ["Transfer_Encoding: identity"]],
      ["chunks and Trailer", ["Trailer: X-A"]],
      ["chunks and TE", ["TE: trailers"]],
    ].map(([what, lines]) => ({
      name: `${method} with ${String(what)}`,
      method,
      lines: [...(lines ?? []), CHUNKED],
      body: HIDING,
      status: 200,
      bytes: HIDDEN.length,
    })),
  ),
  {
    name: "POST with Trailer and a length",
    method: "POST",
    lines: ["Trailer: X-A", "Content-Length: 2"],
    body: "{}",
    status: 200,
    bytes: 2,
  },
  {
    name: "POST with Trailer and nothing",
    method: "POST",
    lines: ["Trailer: X-A"],
    body: "",
    status: 200,
    bytes: 0,
  },
  {
    name: "DELETE with Trailer and nothing",
    method: "DELETE",
    lines: ["Trailer: X-A"],
    body: "",
    status: 200,
    bytes: 0,
  },
  ...["DELETE", "OPTIONS", "POST", "PATCH"].flatMap((method) => [
    {
      name: `${method} with gzip, chunked`,
      method,
      lines: ["Transfer-Encoding: gzip, chunked"],
      body: HIDING,
      status: 501,
    },
    { name: `${method} with a length of 02`, method, lines: ["Content-Length: 02"], body: "{}", status: 400 },
    { name: `${method} with two Hosts`, method, lines: ["Host: other.test"], body: "", status: 400 },
  ]),
];

const ID = "71c675ab-d94f-49cd-a114-e12490b328d9";
const FILE = `/v2/images/${ID}/file`;

describe("Glance gets exactly one request or none:", () => {
  let upstream: RecordingUpstream;
  let proxy: TestProxy;
  beforeAll(async () => {
    upstream = await startRecordingUpstream();
    // Each row uploads to the same image: one after a broken connection might be taken for the rest of it.
    proxy = await startProxy(upstream.url, { replay: { guard: false } });
  });
  afterAll(async () => {
    proxy.stop();
    await upstream.stop();
  });
  beforeEach(() => {
    upstream.requests.length = 0;
  });
  afterEach(async () => {
    // Whatever came, the proxy is there.
    expect((await request(proxy.port, "GET", "/versions")).status).toBe(200);
  });

  /** Sends a message with another request behind it, and waits until Glance has seen of both what it will see. */
  async function sendTwo(bytes: string, unfinished = false): Promise<RawResponse | undefined> {
    const peer = await connect(proxy.port);
    try {
      peer.send(bytes + (unfinished ? "" : SECOND));
      if (unfinished) peer.end();
      return await peer.response().catch((error: unknown) => {
        if (error instanceof IncompleteResponse) return undefined;
        throw error;
      });
    } finally {
      for (let trip = 0; trip < 3; trip += 1) await request(proxy.port, "GET", "/versions");
      peer.destroy();
    }
  }

  /** What Glance saw, apart from our own round trips. */
  function seen(): string[] {
    return upstream.requests
      .map(({ method, target }) => `${method} ${target}`)
      .filter((line) => line !== "GET /versions");
  }

  it.each(ROWS.map((row) => [row.name, row] as const))(
    "%s",
    async (_, { bytes, status, sent, closes, unfinished }) => {
      const answer = await sendTwo(bytes(FILE), unfinished);
      expect(answer?.status).toBe(status);
      if (closes) expect(answer?.headers["connection"]).toBe("close");
      const [upload] = upstream.uploads;
      if (sent !== undefined) {
        expect(upload).toMatchObject({ bytes: 5, complete: true });
        expectClean(upload?.rawHeaders ?? [], sent);
      } else {
        await upload?.over;
        expect(upload?.complete ?? false).toBe(false);
      }
      const lookUp = `GET /v2/images/${ID}`; // after an upload was cut off
      expect(seen().filter((line) => line !== lookUp)).toEqual([
        ...(upload ? [`PUT ${FILE}`] : []),
        ...(seen().includes("GET /second") ? ["GET /second"] : []),
      ]);
    },
  );

  it.each(OTHERS.map((row) => [row.name, row] as const))(
    "%s",
    async (_, { method, lines, body, status, bytes }) => {
      const head = [`${method} /v2/images/${ID} HTTP/1.1`, "Host: glance.test", ...lines, "", ""].join(CRLF);
      const answer = await sendTwo(head + body);
      expect(answer?.status).toBe(status);
      const second = "GET /second";
      if (bytes !== undefined) expect(seen()).toEqual([`${method} /v2/images/${ID}`, second]);
      // Behind a refusal that closes the connection there need be none.
      else expect([[], [second]]).toContainEqual(seen());
      if (bytes !== undefined) {
        const [passed] = upstream.requests;
        expect(passed).toMatchObject({ bytes, complete: true });
        const names = passed?.rawHeaders.filter((_value, index) => index % 2 === 0) ?? [];
        expect(names.filter((name) => /_|^te$|^trailer$|^upgrade$/i.test(name))).toEqual([]);
      }
    },
  );
});

/** One of each header that frames or declares, and none that is hop-by-hop or means another one to WSGI. */
function expectClean(rawHeaders: readonly string[], framing: Framing): void {
  const lines = rawHeaders.flatMap((name, index) =>
    index % 2 === 0 ? [[name.toLowerCase(), rawHeaders[index + 1] ?? ""] as const] : [],
  );
  const of = (...names: string[]): (readonly [string, string])[] =>
    lines.filter(([name]) => names.includes(name)).sort(([one], [other]) => one.localeCompare(other));
  expect(of("content-length", "transfer-encoding", SIZE)).toEqual(
    framing === "length"
      ? [
          ["content-length", "5"],
          [SIZE, "5"],
        ]
      : [["transfer-encoding", "chunked"]],
  );
  expect(of("host")).toEqual([["host", "glance.test"]]);
  // Nothing is asked for a body that came whole with its head.
  expect([[], [["expect", "100-continue"]]]).toContainEqual(of("expect"));
  expect(of("content-type")).toEqual([["content-type", "application/octet-stream"]]);
  expect(of("connection")).toEqual([["connection", "close"]]);
  expect(of("te", "trailer", "upgrade", "keep-alive", "proxy-connection", "http2-settings")).toEqual([]);
  expect(lines.filter(([name]) => name.includes("_"))).toEqual([]);
}

/** Images whose upload was cut off, perhaps before Glance had begun with it. */
const cutOff = new Map<Stage["glance"], string[]>();

const inquiryOf = inquire(
  () => ROWS.map((row, index) => ({ row, operation: operationOf(index) })),
  async (stage, { row, operation }): Promise<{ reply: Reply; after: Holding }> => {
    const { glance, proxy } = stage;
    const id = await stage.image();
    const bytes = row.bytes(`/v2/images/${id}/${operation}`);
    const reply = await send(proxy.port, bytes, { end: row.unfinished ?? false });
    // Where there is an answer it comes after the roll-back.
    const after = await (reply.status === undefined ? untilUntouched(glance, id) : holding(glance, id));
    if (reply.status === undefined) cutOff.set(glance, [...(cutOff.get(glance) ?? []), id]);
    else if (after.status === "queued") stage.putBack(id);
    return { reply, after };
  },
);

describe.each(SERVERS)("Glance under %s has the image whole or not at all:", (server) => {
  describeWith(SERVER_REQUIREMENTS[server], "an upload with", () => {
    let inquiry: Inquiry<{ reply: Reply; after: Holding }>;
    beforeAll(async () => {
      inquiry = await inquiryOf(server);
    });

    it.each(ROWS.map((row, index) => [row.name, operationOf(index), row, index] as const))(
      "%s (%s)",
      async (_, operation, { status, sent }, index) => {
        const result = await inquiry.answers[index];
        expect(result?.reply).toMatchObject({ status });
        if (sent === undefined) expect(result?.after).toEqual(UNTOUCHED);
        else {
          expect(result?.after.status).toBe(operation === "file" ? "active" : "uploading");
          expect(result?.after.bytes?.toString()).toBe("hello");
        }
      },
    );

    it("any of these heads is answered, even if its body is broken or cut", async () => {
      const { glance, answers } = inquiry;
      await Promise.allSettled(answers);
      expect(cutOff.get(glance) ?? []).toEqual([]);
    });
  });
});

/** The rows take turns: the head of an upload is read alike for both. */
function operationOf(index: number): Operation {
  return index % 2 === 0 ? "file" : "stage";
}
