/**
 * Imports that the guard must refuse, however they are written. URIs: whatever Glance's own downloader and the C library would connect to
 * is what the guard has judged, or the guard refuses. Requests: a real Glance says which targets and bodies it takes for an import.
 */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hostText, readWebUri } from "../../src/import/web-uri.js";
import { createImage } from "../support/glance-client.js";
import { SERVER_REQUIREMENTS } from "../support/glance-servers.js";
import { borrowGlance } from "../support/lent-glances.js";
import { startProxy, type TestProxy } from "../support/proxy.js";
import { type HeaderValues, type RawResponse, request } from "../support/raw-http.js";
import type { RealGlance } from "../support/real-glance.js";
import { describeWith } from "../support/requirements.js";
import { run } from "../support/run.js";

const COUNT = Number(process.env["FUZZ_COUNT"] ?? 1_200);

/** What `test/hostile/glance-download.py` says of a URI. */
interface Connection {
  readonly address?: string;
  readonly name?: string;
  /** Glance reads a file of its own. */
  readonly local?: true;
  readonly error?: string;
}

const byte = fc.oneof(fc.constantFrom(0, 1, 10, 127, 169, 192, 254, 255), fc.integer({ min: 0, max: 255 }));
const number = fc.oneof(
  byte,
  fc.constantFrom(256, 257, 65_535, 65_536, 2 ** 24 - 1, 2_130_706_433, 2 ** 32 - 1, 2 ** 32, 2 ** 64),
);
const inSomeBase = fc
  .tuple(number, fc.constantFrom("10", "8", "16", "0X", "08", "+", "0x"))
  .map(([value, base]) => {
    switch (base) {
      case "8":
        return `0${value.toString(8)}`;
      case "16":
        return `0x${value.toString(16)}`;
      case "0X":
        return `0X00${value.toString(16).toUpperCase()}`;
      case "08":
        return `000${value}`;
      case "+":
        return value === 1 ? "+1" : String(value);
      case "0x":
        return value === 0 ? "0x" : String(value);
      default:
        return String(value);
    }
  });
const ipv4 = fc.array(inSomeBase, { minLength: 1, maxLength: 5 }).map((parts) => parts.join("."));
const group = fc.oneof(
  fc.constantFrom("0", "ffff", "FFFF", "7f00", "2002", "64", "ff9b", "0000", "00001"),
  fc.integer({ min: 0, max: 65_535 }).map((value) => value.toString(16)),
);
const ipv6 = fc
  .tuple(
    fc.constantFrom("", "::", "::ffff:", "::FFFF:0:", "64:ff9b::", "2002:", "0:0:0:0:0:ffff:", "fe80::"),
    fc.oneof(
      fc.array(group, { maxLength: 8 }).map((groups) => groups.join(":")),
      ipv4,
    ),
    fc.constantFrom("", "", "", "%25eth0", "%lo", "::", "]", "x"),
  )
  .map(([start, end, zone]) => `[${start}${end}${zone}]`);
const name = fc
  .array(
    fc.constantFrom(
      "example",
      "org",
      "EXAMPLE",
      "localhost",
      "xn--nxasmq6b",
      "b\u00FCcher",
      "a_b",
      "a-",
      "1",
      "0x7",
      "1a",
    ),
    { minLength: 1, maxLength: 4 },
  )
  .map((labels) => labels.join("."));

/** Characters that some reader takes for another one, for an end or for nothing. */
const STRANGE = [
  ...[
    "\t",
    "\n",
    "\r",
    " ",
    "\\",
    "/",
    "?",
    "#",
    "@",
    ":",
    "%",
    ".",
    "..",
    "%2e",
    "%31",
    "%2F",
    "%00",
    "\0",
    "\u00AD",
  ],
  ...[
    "\u00B9",
    "\u00B2",
    "\u2024",
    "\u3002",
    "\uFF0E",
    "\uFF11",
    "\u2488",
    "\u00DF",
    "\u200B",
    "\u212A",
    "[",
    "]",
    "user@",
  ],
  ...["a:b@", ":80", ":", ";", "&", "<", ">", '"', "URL:", "http://10.0.0.1"],
];

function withStrange(text: string): fc.Arbitrary<string> {
  return fc
    .tuple(fc.constantFrom(...STRANGE), fc.integer({ min: 0, max: text.length }), fc.boolean())
    .map(([strange, at, replaces]) => text.slice(0, at) + strange + text.slice(replaces ? at + 1 : at));
}

const uri = fc
  .tuple(
    fc.constantFrom(
      "http://",
      "https://",
      "HTTP://",
      "hTTps://",
      "http:",
      "http:/",
      "http:///",
      "//",
      "file://",
      "",
      "URL:http://",
    ),
    fc.oneof(ipv4, ipv6, name),
    fc.constantFrom("", "", ".", ":80", ":", ":0", ":65536", ":+80"),
    fc.constantFrom("", "/", "/image", "?a=b", "#f", "/a@b", "?@10.0.0.1", "#@10.0.0.1/", "/../x"),
  )
  .map((parts) => parts.join(""))
  .chain((text) =>
    fc.oneof({ weight: 2, arbitrary: fc.constant(text) }, { weight: 1, arbitrary: withStrange(text) }),
  );

describeWith(SERVER_REQUIREMENTS.eventlet, "the URI of a web-download", () => {
  it("is judged by the host to which Glance would connect, or refused", async () => {
    const usual = uri.map((text) => text.replace(/^(?!http)[^[]*?(?=[[0-9a-z])/i, "http://"));
    const uris = [...fc.sample(uri, COUNT / 2), ...fc.sample(usual, COUNT / 2)];
    const { stdout, stderr } = await run("/usr/bin/python3", ["test/hostile/glance-download.py"], {
      input: JSON.stringify(uris),
    });
    expect(stderr).toBe("");
    const connections = JSON.parse(stdout) as Connection[];
    const wrong: object[] = [];
    const seen = { address: 0, name: 0, refused: 0 };
    uris.forEach((text, index) => {
      const connection = connections[index] ?? {};
      const read = readWebUri(text);
      if (read.kind === "unreadable" || !["http", "https"].includes(read.scheme)) {
        if (connection.error === undefined) seen.refused += 1;
        return;
      }
      seen[read.host.kind] += 1;
      const judged = { [read.host.kind]: hostText(read.host) };
      const { address, name, local, error } = connection;
      const connected = name === undefined ? { address } : { name: name.replace(/\.$/, "") };
      const isRight = error !== undefined || JSON.stringify(judged) === JSON.stringify(connected);
      if (local || !isRight) wrong.push({ text, judged, connection });
    });
    expect(wrong).toEqual([]);
    // Otherwise the test says nothing.
    expect(Math.min(seen.address, seen.name, seen.refused)).toBeGreaterThan(COUNT / 200);
  });
});

/** Refused by any guard: no one listens there, and this Glance refuses it itself, which shows that it has read it. */
const URI = "http://127.0.0.1:1/";
const IMPORT = JSON.stringify({ method: { name: "web-download", uri: URI } });
const TASK = JSON.stringify({
  type: "import",
  input: { import_from: URI, import_from_format: "raw", image_properties: {} },
});
const BY_ACCEPT = { Accept: "application/vnd.openstack.images-v2" };

interface Attempt {
  readonly target: (path: string) => string;
  readonly headers?: HeaderValues;
  readonly body?: (json: string) => string | Buffer;
  readonly isChunked?: boolean;
  /** What Glance was seen to take for an import. */
  readonly takenAs: "both" | "import" | "none";
}

const same = (path: string): string => path;

const TARGETS: readonly Attempt[] = [
  ...[
    ...[same, (path: string) => path.replace("/v2/", "/v2.5/"), (path: string) => path.replaceAll("/", "//")],
    ...[
      (path: string) => path.replace(/import$/, "%69mport").replace(/tasks$/, "%74asks"),
      (path: string) => path.replace("v2", "%762"),
      (path: string) => path.replace(/^\//, "/%76").replace("%76v", "%76"),
      (path: string) => `${path}?a=b`,
      (path: string) => path.replace(/\/(import|tasks)$/, "%2f$1"),
      (path: string) => `${path}%0a`,
      (path: string) => `${path}?_method=POST`,
      (path: string) => path.replace("/v2", "/x/../v2"),
      (path: string) => path.replace("/v2", "/./v2"),
      (path: string) => `${path}#x`,
    ],
  ].map((target) => ({ target, takenAs: "both" as const })),
  { target: (path) => path.replace("/v2", ""), headers: BY_ACCEPT, takenAs: "both" },
  ...[
    (path: string) => `${path}/`,
    (path: string) => `${path}.json`,
    (path: string) => path.toUpperCase(),
    (path: string) => `${path};x`,
    (path: string) => path.replace("/v2", "/v1"),
  ].map((target) => ({ target, takenAs: "none" as const })),
];

const BODIES: readonly Attempt[] = [
  ...[
    (json: string) => ` \r\n\t${json}\n`,
    (json: string) =>
      json.replaceAll("web", "\\u0077eb").replaceAll("uri", "\\u0075\\u0072i").replaceAll("imp", "\\u0069mp"),
    (json: string) => json.replaceAll("http", "\\u0068ttp").replaceAll("/", "\\/"),
    // The last of repeated keys counts.
    (json: string) => json.replace(/("uri"|"import_from"):/, '$1:"http://example.org/",$1:'),
  ].map((body) => ({ target: same, body, takenAs: "both" as const })),
  // A task may have no other members.
  ...[
    (json: string) => `{"method":{"name":"glance-direct"},"type":"api_image_import",${json.slice(1)}`,
    (json: string) => `{"x":NaN,"y":-Infinity,${json.slice(1)}`,
    (json: string) => `{"x":"${"y".repeat(100_000)}",${json.slice(1)}`,
    (json: string) => `{"__proto__":{"method":{"name":"copy-image"},"type":"x"},${json.slice(1)}`,
    (json: string) => `{"x":"\\ud800",${json.slice(1)}`,
  ].map((body) => ({ target: same, body, takenAs: "import" as const })),
  ...[
    { "Content-Type": "text/plain" },
    { "Content-Type": "application/octet-stream" },
    { "Content-Type": "application/json; charset=utf-16" },
    { "Content-Encoding": "gzip" },
    { Expect: "100-continue" },
  ].map((headers) => ({ target: same, headers, takenAs: "both" as const })),
  { target: same, isChunked: true, takenAs: "none" }, // under uWSGI
  { target: same, headers: { "Content-Type": "application/x-www-form-urlencoded" }, takenAs: "both" },
  ...[
    (json: string) => `\uFEFF${json}`,
    (json: string) => Buffer.from(json, "utf16le"),
    (json: string) => json.slice(0, -1),
    (json: string) => `${json}{}`,
    (json: string) => Buffer.concat([Buffer.from('{"x":"\xFF",', "latin1"), Buffer.from(json.slice(1))]),
  ].map((body) => ({ target: same, body, takenAs: "none" as const })),
];

describeWith(SERVER_REQUIREMENTS.uwsgi, "a request that Glance takes for an import", () => {
  let glance: RealGlance;
  let proxy: TestProxy;
  let path: string;
  beforeAll(async () => {
    glance = await borrowGlance("uwsgi");
    proxy = await startProxy(glance.url, { import: { webDownload: { schemes: ["http", "https"] } } });
    path = `/v2/images/${await createImage(glance.port)}/import`;
  });
  afterAll(async () => {
    (proxy as TestProxy | undefined)?.stop();
    await (glance as RealGlance | undefined)?.stop();
  });

  function attempt(port: number, to: "import" | "task", given: Attempt): Promise<RawResponse> {
    const { target, headers, body = (json: string) => json, isChunked = false } = given;
    const sent = Buffer.from(body(to === "import" ? IMPORT : TASK));
    const chunked = Buffer.concat([
      Buffer.from(`${sent.length.toString(16)}\r\n`),
      sent,
      Buffer.from("\r\n0\r\n\r\n"),
    ]);
    return request(port, "POST", target(to === "import" ? path : "/v2/tasks"), {
      headers: {
        "Content-Type": "application/json",
        ...headers,
        ...(isChunked ? { "Transfer-Encoding": "chunked" } : {}),
      },
      body: isChunked ? chunked : sent,
    });
  }

  const isTaken = ({ text }: RawResponse): boolean => text.includes("does not pass filtering");

  describe.each(["import", "task"] as const)("an %s", (to) => {
    it.each([...TARGETS, ...BODIES].map((given) => [describeAttempt(given), given] as const))(
      "never reaches Glance through the proxy: %s",
      async (_, given) => {
        const taken = given.takenAs === "both" || given.takenAs === to;
        expect(isTaken(await attempt(glance.port, to, given))).toBe(taken);
        const before = (await glance.executed()).length;
        const answer = await attempt(proxy.port, to, given);
        expect(isTaken(answer)).toBe(false);
        if (!taken) return;
        expect([400, 403, 413]).toContain(answer.status);
        expect(await glance.executed(before)).toEqual([]);
      },
    );
  });
});

function describeAttempt({ target, headers, body, isChunked }: Attempt): string {
  const parts = [
    target("/v2/images/ID/import"),
    JSON.stringify(headers),
    isChunked === true ? "chunked" : "",
  ];
  const sent = body?.("{}");
  return [...parts, sent && JSON.stringify(sent.toString().slice(0, 60))].filter(Boolean).join(" ");
}
