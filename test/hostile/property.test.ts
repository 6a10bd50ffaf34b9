/**
 * Whatever the spelling of the target, the head and the framing: through the proxy an image has exactly the bytes that
 * were declared, or none. Each request that is made up here goes to a Glance as it is, and through the proxy to the
 * same Glance, for a new image each.
 */
import fc from "fast-check";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createImage } from "../support/glance-client.js";
import { SERVER_REQUIREMENTS } from "../support/glance-servers.js";
import type { Requirement } from "../support/provided.js";
import { startProxy, type TestProxy } from "../support/proxy.js";
import { describeWith } from "../support/requirements.js";
import {
  type Holding,
  holding,
  type OpenGlance,
  openRealGlance,
  openStandIn,
  type Reply,
  send,
  untilUntouched,
  UNTOUCHED,
} from "./hostile-client.js";

const CRLF = "\r\n";

interface Attempt {
  readonly method: string;
  readonly target: (id: string) => string;
  readonly version: string;
  readonly lines: readonly string[];
  /** As it goes over the wire. */
  readonly payload: string;
  /** What HTTP says that the body is; undefined if the message has no end, or none that all readers agree on. */
  readonly body: string | undefined;
  /** Nothing ends the message but the end of the connection. */
  readonly unfinished: boolean;
  /** No size is declared, or only this one, and well. */
  readonly declared: number | "nothing" | "wrongly";
}

/** Mostly the first, so that a request with many parts still has a fair chance to be an upload. */
function mostly<T>(usual: T, weight: number, ...others: readonly fc.Arbitrary<T>[]): fc.Arbitrary<T> {
  return fc.oneof(
    { weight, arbitrary: fc.constant(usual) },
    ...others.map((arbitrary) => ({ weight: 1, arbitrary })),
  );
}

const printable = fc.string({
  unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
  maxLength: 4,
});
const anyByte = fc.integer({ min: 0, max: 255 });
const hexOf = (code: number): string => `%${code.toString(16).padStart(2, "0")}`;

/** The text with some of its characters percent-encoded, a few of them twice. */
function spelled(text: string): fc.Arbitrary<string> {
  const way = fc.oneof(
    { weight: 60, arbitrary: fc.constant(0) },
    { weight: 14, arbitrary: fc.constantFrom(1, 2) },
    { weight: 1, arbitrary: fc.constant(3) },
  );
  const ways = fc.array(way, { minLength: text.length, maxLength: text.length });
  return ways.map((chosen) =>
    [...text]
      .map((character, index) => {
        const hex = hexOf(character.charCodeAt(0));
        return [character, hex, hex.toUpperCase(), hex.replace("%", "%25")][
          index % 40 < 40 ? (chosen[index] ?? 0) : 0
        ];
      })
      .join(""),
  );
}

const separator = mostly(
  "/",
  14,
  fc.integer({ min: 2, max: 4 }).map((run) => "/".repeat(run)),
  fc.constantFrom(
    "%2f",
    "%2F",
    "/%2f",
    "\\",
    "%5c",
    "/./",
    "/x/../",
    "/%2e/",
    "/x/%2e%2E/",
    "/.../",
    "/ /",
    ";/",
    "",
  ),
);

const version = mostly(
  "v2",
  6,
  fc.integer({ min: 0, max: 20 }).map((minor) => `v2.${minor}`),
  fc.constantFrom("v1", "V2", "v2.x", "v2.", "v3", "v2.00", "versions"),
);

const suffix = mostly(
  "",
  12,
  fc.constantFrom(
    "/",
    "//",
    ".json",
    ";x",
    "#",
    "#x",
    "%",
    "%0",
    "%zz",
    "%23",
    "%3F",
    "%0a",
    "%0A",
    "%20",
    "+",
    " ",
    "\t",
    "\x85",
  ),
  anyByte.map(hexOf),
  anyByte.map((code) => String.fromCharCode(code)).filter((character) => !"\r\n".includes(character)),
  printable,
);

const overriding = fc
  .tuple(
    fc.constantFrom("", "a&", "a=b;", ";", "a=_method&", "_methods=GET&"),
    mostly("_method", 3, spelled("_method"), fc.constantFrom("%5fmethod", "_METHOD", "+_method", " _method")),
    mostly("=PUT", 4, fc.constantFrom("=put", "=%50ut", "=GET", "", "=")),
  )
  .map((parts) => `?${parts.join("")}`);

const query = mostly(
  "",
  8,
  overriding,
  fc.constantFrom("?", "?x", "?a=%2F..", "?x#y", "??", "?/file"),
  printable.map((text) => `?${text}`),
);

const target = fc
  .record({
    before: mostly(
      "/",
      14,
      fc.constantFrom("//", "///", "/./", "/x/../", "%2f", "", "/%2f", "http://glance.test/", "\\", " /"),
    ),
    version: fc.option(version.chain(spelled), { nil: undefined, freq: 8 }),
    images: mostly("images", 12, fc.constantFrom("Images", "image", "members")).chain(spelled),
    idAs: mostly("", 6, fc.constantFrom("%", "%25", "upper")),
    name: mostly(
      "file",
      6,
      fc.constant("stage"),
      fc.constant("stage"),
      fc.constantFrom("FILE", "import", "members"),
    ).chain(spelled),
    separators: fc.tuple(separator, separator, separator),
    suffix,
  })
  .map(
    ({ before, version, images, idAs, name, separators: [one, two, three], suffix }) =>
      (id: string): string => {
        const shown =
          idAs === "upper" ? id.toUpperCase() : idAs === "" ? id : id.replaceAll("-", `${idAs}2d`);
        return (
          before + (version === undefined ? "" : version + one) + images + two + shown + three + name + suffix
        );
      },
  );

const OTHER_METHODS = ["POST", "PATCH", "GET", "DELETE", "OPTIONS", "put", "PROPFIND"];

const asked = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ method: mostly("PUT", 10, fc.constantFrom(...OTHER_METHODS)), query }),
  },
  { weight: 1, arbitrary: fc.record({ method: fc.constantFrom(...OTHER_METHODS), query: overriding }) },
);

/** Any case, and now and then an underscore: to WSGI the same header. */
function nameOf(name: string): fc.Arbitrary<string> {
  return fc.oneof(
    {
      weight: 4,
      arbitrary: fc.constantFrom(
        name,
        name.toUpperCase(),
        name.replace(/\b\w/g, (first) => first.toUpperCase()),
      ),
    },
    { weight: 1, arbitrary: fc.constant(name.replace("-", "_")) },
    { weight: 1, arbitrary: fc.constant(name.replaceAll("-", "_").toUpperCase()) },
  );
}

const SIZES = [
  "x-openstack-image-size",
  "x-image-meta-size",
  "upload-length",
  "x-upload-content-length",
  "x-expected-entity-length",
];

/** Lines that declare a size: right, wrong, twice, malformed. */
const sizeLines = (length: number): fc.Arbitrary<readonly (readonly [name: string, value: string])[]> => {
  const value = mostly(
    String(length),
    6,
    fc.constantFrom(length + 1, Math.max(0, length - 1), 0, length + 50).map(String),
    fc.constantFrom(
      `+${length}`,
      `-${length}`,
      `0x${length.toString(16)}`,
      `${length}.0`,
      `${length}, ${length}`,
      "",
      `${length}_`,
    ),
  );
  const line = fc.tuple(mostly(SIZES[0] ?? "", 4, fc.constantFrom(...SIZES)).chain(nameOf), value);
  return fc.array(line, { maxLength: 3 });
};

/** What the lines declare, to a reader who takes an underscore for no hyphen and every contradiction for an error. */
function declaredBy(lines: readonly (readonly [name: string, value: string])[]): Attempt["declared"] {
  const seen = lines
    .filter(([name]) => !name.includes("_"))
    .map(([name, value]) => [name.toLowerCase(), value] as const);
  const [first] = seen;
  if (first === undefined) return "nothing";
  const once = new Set(seen.map(([name]) => name)).size === seen.length;
  const agreed = new Set(seen.map(([, value]) => Number(value))).size === 1;
  return once && agreed && seen.every(([, value]) => /^\d+$/.test(value)) ? Number(first[1]) : "wrongly";
}

interface Framed {
  readonly lines: readonly string[];
  readonly payload: string;
  readonly body: string | undefined;
  readonly unfinished: boolean;
}

const extension = mostly("", 4, fc.constantFrom(";a", ";a=b", ';a="b;c"', ";;"));

/** The body in chunks of any sizes, their sizes written in any way that is allowed. */
function chunked(body: string): fc.Arbitrary<string> {
  return fc
    .array(
      fc.tuple(fc.integer({ min: 1, max: 17 }), extension, fc.integer({ min: 0, max: 3 }), fc.boolean()),
      { maxLength: 50 },
    )
    .map((cuts) => {
      let rest = body;
      const pieces: string[] = [];
      for (const [size, extra, zeros, upper] of [...cuts, [50, "", 0, false] as const]) {
        const piece = rest.slice(0, size);
        if (piece === "") break;
        rest = rest.slice(size);
        const hex = piece.length.toString(16);
        pieces.push(`${"0".repeat(zeros)}${upper ? hex.toUpperCase() : hex}${extra}${CRLF}${piece}${CRLF}`);
      }
      return pieces.join("");
    });
}

function framed(body: string): fc.Arbitrary<Framed> {
  const lengthOf = (length: number | string): string => `Content-Length: ${length}`;
  const whole = chunked(body).map((chunks) => `${chunks}0${CRLF}${CRLF}`);
  const coded = (coding: string): fc.Arbitrary<Framed> =>
    whole.map((payload) => ({
      lines: [`Transfer-Encoding: ${coding}`],
      payload,
      body: undefined,
      unfinished: false,
    }));
  const inChunks = whole.map((payload): Framed => ({
    lines: ["Transfer-Encoding: chunked"],
    payload,
    body,
    unfinished: false,
  }));
  const exact = fc.constant<Framed>({
    lines: [lengthOf(body.length)],
    payload: body,
    body,
    unfinished: false,
  });
  return fc.oneof(
    { weight: 6, arbitrary: inChunks },
    { weight: 4, arbitrary: exact },
    // Short: what is left over is no part of it.
    {
      weight: body.length > 0 ? 1 : 0,
      arbitrary: fc.constant<Framed>({
        lines: [lengthOf(body.length - 1)],
        payload: body,
        body: body.slice(0, -1),
        unfinished: false,
      }),
    },
    {
      weight: 1,
      arbitrary: fc.constant<Framed>({
        lines: [lengthOf(body.length + 1)],
        payload: body,
        body: undefined,
        unfinished: true,
      }),
    },
    {
      weight: 1,
      arbitrary: fc.tuple(chunked(body), fc.constantFrom("", "0", "0\r\n")).map(([chunks, end]): Framed => ({
        lines: ["Transfer-Encoding: chunked"],
        payload: chunks + end,
        body: undefined,
        unfinished: true,
      })),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom("gzip, chunked", "identity, chunked", "chunked, chunked").chain(coded),
    },
    {
      weight: 1,
      arbitrary: inChunks.map((whole) => ({
        ...whole,
        lines: [...whole.lines, lengthOf(body.length)],
        body: undefined,
      })),
    },
    {
      weight: 1,
      arbitrary: fc
        .constantFrom(`0${body.length}`, `+${body.length}`, `${body.length},${body.length}`)
        .map((length): Framed => ({
          lines: [lengthOf(length)],
          payload: body,
          body: undefined,
          unfinished: false,
        })),
    },
  );
}

/** Lines that should change nothing. */
const noise = fc.constantFrom(
  "Connection: x-openstack-image-size",
  "Connection: content-length, transfer-encoding, host",
  "Connection: upload-length,, X-Image-Meta-Size",
  "Content_Length: 0",
  "Content_Length: 7",
  "Content-length_: 7",
  "Transfer_Encoding: chunked",
  "TRANSFER_ENCODING: gzip",
  "Trailer: x-openstack-image-size",
  "TE: trailers",
  "Expect: 100-continue",
  "X-HTTP-Method-Override: PUT",
  "Upgrade: h2c",
  "Accept: application/vnd.openstack.images-v2",
  "Accept: application/vnd.openstack.images-v2.5",
  "Content_Type: text/plain",
);

const attempt: fc.Arbitrary<Attempt> = fc
  .string({ unit: anyByte.map((code) => String.fromCharCode(code)), maxLength: 50 })
  .chain((bytes) =>
    framed(bytes).chain((message) =>
      fc.record({
        message: fc.constant(message),
        asked,
        target,
        version: mostly("HTTP/1.1", 20, fc.constantFrom("HTTP/1.0", "HTTP/2.0", "HTTP/0.9")),
        sizes: sizeLines((message.body ?? bytes).length),
        noise: fc.array(noise, { maxLength: 3 }),
      }),
    ),
  )
  .map(({ message, asked: { method, query }, target, version, sizes, noise }) => ({
    ...message,
    method,
    target: (id: string) => target(id) + query,
    version,
    declared: declaredBy(sizes),
    lines: [...message.lines, ...sizes.map(([name, value]) => `${name}: ${value}`), ...noise],
  }));

function wireBytes({ method, target, version, lines, payload }: Attempt, id: string): string {
  const head = [
    `${method} ${target(id)} ${version}`,
    "Host: glance.test",
    "Content-Type: application/octet-stream",
  ];
  return [...head, ...lines, "", payload].join(CRLF);
}

interface Outcome {
  readonly sent: string;
  readonly direct: Reply;
  readonly directly: Holding;
  readonly reply: Reply;
  readonly after: Holding;
}

function describeHostility(
  name: string,
  start: () => Promise<OpenGlance>,
  /** `together`: how many requests are made up for one run and sent at once. */
  { runs, together }: { readonly runs: number; readonly together: number },
  requirements: readonly Requirement[] = [],
): void {
  describeWith(requirements, `In front of ${name}`, () => {
    let glance: OpenGlance;
    let proxy: TestProxy;
    /** Images whose upload was cut off, perhaps before Glance had begun with it. */
    const cutOff: string[] = [];
    beforeAll(async () => {
      glance = await start();
      proxy = await startProxy(glance.url);
    });
    afterAll(async () => {
      (proxy as TestProxy | undefined)?.stop();
      await (glance as OpenGlance | undefined)?.stop();
    });

    async function attemptDirectly(attempt: Attempt): Promise<Pick<Outcome, "direct" | "directly">> {
      const id = await createImage(glance.port);
      // FIN at once: a Glance that waits for what never comes would make us wait as well.
      const direct = await send(glance.port, wireBytes(attempt, id), { end: true, deadlineMs: 2_000 });
      return { direct, directly: await holding(glance, id) };
    }

    async function attemptProxied(attempt: Attempt): Promise<Pick<Outcome, "sent" | "reply" | "after">> {
      const id = await createImage(glance.port);
      const sent = wireBytes(attempt, id);
      const reply = await send(proxy.port, sent, { end: attempt.unfinished });
      // Without an answer there is nothing that says when it is over.
      if (reply.status === undefined) cutOff.push(id);
      const after = reply.status === undefined ? await untilUntouched(glance, id) : await holding(glance, id);
      return { sent, reply, after };
    }

    async function check(attempt: Attempt): Promise<void> {
      const outcome: Outcome = { ...(await attemptProxied(attempt)), ...(await attemptDirectly(attempt)) };
      const { reply, after, directly } = outcome;
      const told = JSON.stringify({ ...outcome, attempt }, undefined, 1);
      const accepted = attempt.method === "PUT" && reply.status === 204;
      if (accepted || after.bytes !== undefined || after.status !== "queued") {
        expect(accepted, told).toBe(true);
        expect(["active", "uploading"], told).toContain(after.status);
        expect(after.bytes?.toString("latin1"), told).toBe(attempt.body);
        expect([attempt.body?.length, "nothing"], told).toContain(attempt.declared);
      } else if (directly.bytes !== undefined && attempt.method !== "GET") {
        // Glance takes it for an upload: here it was enforced or refused, and not given to another reading.
        expect([400, 417, 501, undefined], told).toContain(reply.status);
      }
    }

    it("an image has the declared bytes or none", async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(attempt, { minLength: together, maxLength: together }),
          async (attempts) => {
            await Promise.all(attempts.map(check));
          },
        ),
        // What fails is told as it was found: to make it smaller takes Glance minutes. A slow machine tries fewer.
        { numRuns: runs / together, endOnFailure: true, interruptAfterTimeLimit: 40_000 },
      );
    });

    it("an aborted upload leaves no image data", async () => {
      for (const id of cutOff) expect(await untilUntouched(glance, id)).toEqual(UNTOUCHED);
    });
  });
}

describeHostility("the stand-in", openStandIn, { runs: 300, together: 1 });
describeHostility(
  "Glance under eventlet",
  () => openRealGlance("eventlet"),
  { runs: 60, together: 4 },
  SERVER_REQUIREMENTS.eventlet,
);
describeHostility(
  "Glance under uWSGI",
  () => openRealGlance("uwsgi"),
  { runs: 24, together: 6 },
  SERVER_REQUIREMENTS.uwsgi,
);
