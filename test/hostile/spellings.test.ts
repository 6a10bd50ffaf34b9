/**
 * Every way to write the target of an upload that we know of, one byte longer than declared: Glance may not end up with
 * the image through the proxy, whichever server it runs under. Each is sent to Glance itself too, so that the table
 * says what is at stake, and says so no longer when it is not.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SERVER_REQUIREMENTS } from "../support/glance-servers.js";
import { startProxy, type TestProxy } from "../support/proxy.js";
import { type HeaderValues, requestHead } from "../support/raw-http.js";
import type { GlanceServer } from "../support/real-glance.js";
import { type RecordingUpstream, startRecordingUpstream } from "../support/recording-upstream.js";
import { describeWith } from "../support/requirements.js";
import {
  chunks,
  type Holding,
  holding,
  inquire,
  type Inquiry,
  type Operation,
  OPERATIONS,
  type Reply,
  send,
  SERVERS,
  type Stage,
  UNTOUCHED,
} from "./hostile-client.js";

const SIZE = "x-openstack-image-size";
const BOTH: readonly GlanceServer[] = ["eventlet", "uwsgi"];
const EVENTLET: readonly GlanceServer[] = ["eventlet"];
const UWSGI: readonly GlanceServer[] = ["uwsgi"];
const NONE: readonly GlanceServer[] = [];
const BY_ACCEPT = { Accept: "application/vnd.openstack.images-v2" };

/**
 * What the proxy makes of it. `upload`: enforced, and sent on under its canonical path. `refused`: 400, nothing reaches
 * Glance. `other`: passed on, for Glance to answer as no upload.
 */
type Reading = "upload" | "refused" | "other";

interface Spelling {
  readonly reading: Reading;
  /** The servers under which Glance was seen to take it for an upload. */
  readonly takenBy: readonly GlanceServer[];
  readonly target: Target;
  readonly method?: string;
  readonly headers?: HeaderValues;
  /** Where it is not `/v2/images/{id}/{operation}`. */
  readonly canonical?: Target;
}

type Target = (id: string, operation: Operation) => string;

const canonical: Target = (id, operation) => `/v2/images/${id}/${operation}`;

function spelling(
  reading: Reading,
  takenBy: readonly GlanceServer[],
  target: Target,
  more: Omit<Spelling, "target" | "reading" | "takenBy"> = {},
): Spelling {
  return { reading, takenBy, target, ...more };
}

/** Every character as its escape, hexadecimal digits in lower case or upper case. */
function escaped(text: string, upper = false): string {
  return [...text]
    .map((character) => character.charCodeAt(0).toString(16).padStart(2, "0"))
    .map((hex) => `%${upper ? hex.toUpperCase() : hex}`)
    .join("");
}

function escapedFirst(text: string): string {
  return escaped(text.slice(0, 1)) + text.slice(1);
}

/** Uploads by a target that is its own canonical path. */
function verbatim(takenBy: readonly GlanceServer[], target: Target, headers: HeaderValues = {}): Spelling {
  return spelling("upload", takenBy, target, { canonical: target, headers });
}

const SPELLINGS: readonly Spelling[] = [
  spelling("upload", BOTH, canonical),

  // Versions.
  ...Array.from({ length: 17 }, (_, minor) => verbatim(BOTH, (id, op) => `/v2.${minor}/images/${id}/${op}`)),
  ...["v2.17", "v2.99", "v2.00", "v2.05"].map((version) =>
    verbatim(NONE, (id, op) => `/${version}/images/${id}/${op}`),
  ),
  ...["v1", "v3", "V2", "v2.", "v2.x", "v02", "2", "2.0", "v2.1.0", "v2;x", "v%C2%B2", "v2.%D9%A5"].map(
    (version) => spelling("other", NONE, (id, op) => `/${version}/images/${id}/${op}`),
  ),
  spelling("other", NONE, (id, op) => `/v2/v2/images/${id}/${op}`),

  // Without a version: Glance then takes it from `Accept`, if that begins with it.
  ...["", ".0", ".5", ".15"].map((minor) =>
    verbatim(BOTH, (id, op) => `/images/${id}/${op}`, {
      Accept: `application/vnd.openstack.images-v2${minor}`,
    }),
  ),
  spelling("upload", BOTH, (id, op) => `//%69mages//${id}/${escapedFirst(op)}?x`, {
    headers: BY_ACCEPT,
    canonical: (id, op) => `/images/${id}/${op}?x`,
  }),
  spelling("refused", BOTH, (id, op) => `/images/${id}%2f${op}`, { headers: BY_ACCEPT }),
  verbatim(NONE, (id, op) => `/images/${id}/${op}`),
  verbatim(NONE, (id, op) => `/images/${id}/${op}`, {
    Accept: ["text/plain", "application/vnd.openstack.images-v2"],
  }),
  verbatim(NONE, canonical, BY_ACCEPT),

  // Slashes.
  spelling("upload", BOTH, (id, op) => `//v2/images/${id}/${op}`),
  spelling("upload", BOTH, (id, op) => `/////v2/images/${id}/${op}`),
  spelling("upload", BOTH, (id, op) => `/v2//images/${id}/${op}`),
  spelling("upload", BOTH, (id, op) => `/v2/images//${id}/${op}`),
  spelling("upload", BOTH, (id, op) => `/v2/images/${id}//${op}`),
  spelling("upload", BOTH, (id, op) => `///v2////images///${id}////${op}`),
  spelling("other", NONE, (id, op) => `/v2/images/${id}/${op}/`),
  spelling("other", NONE, (id, op) => `/v2/images/${id}/${op}//`),
  spelling("other", NONE, (id, op) => `//glance.test/v2/images/${id}/${op}`),
  spelling("other", NONE, (_id, op) => `/v2/images//${op}`),

  // Percent-encoding, once and twice.
  spelling("upload", BOTH, (id, op) => `/v2/images/${id}/${escapedFirst(op)}`),
  spelling("upload", BOTH, (id, op) => `/v2/images/${id}/${escaped(op)}`),
  spelling("upload", BOTH, (id, op) => `/v2/images/${id}/${op.slice(0, -1)}%65`),
  spelling("upload", BOTH, (id, op) => `/v2/%69mages/${id}/${op}`),
  spelling("upload", BOTH, (id, op) => `/v2/image%73/${id}/${op}`),
  spelling("upload", BOTH, (id, op) => `/%762/images/${id}/${op}`),
  spelling("upload", BOTH, (id, op) => `/v%32/images/${id}/${op}`),
  spelling("upload", BOTH, (id, op) => `/v2/images/${escaped(id)}/${op}`),
  spelling("upload", BOTH, (id, op) => `/v2/images/${id.replaceAll("-", "%2D")}/${op}`),
  spelling(
    "upload",
    BOTH,
    (id, op) => `/${escaped("v2")}/${escaped("images")}/${escaped(id)}/${escaped(op)}`,
  ),
  spelling("upload", BOTH, (id, op) => `//%762///${escaped("images", true)}//${id}//${escaped(op, true)}`),
  spelling("upload", BOTH, (id, op) => `/v2%2e5/images/${id}/${op}`, {
    canonical: (id, op) => `/v2.5/images/${id}/${op}`,
  }),
  spelling("other", NONE, (id, op) => `/v2/images/${id}/${escaped(op).replaceAll("%", "%25")}`),
  spelling("other", NONE, (id, op) => `/v2/%2569mages/${id}/${op}`),
  spelling("other", NONE, (id, op) => `/v2/images/${id}%252F${op}`),

  // Encoded slashes, and backslashes.
  spelling("refused", BOTH, (id, op) => `/v2%2Fimages/${id}/${op}`),
  spelling("refused", BOTH, (id, op) => `/v2/images%2f${id}/${op}`),
  spelling("refused", BOTH, (id, op) => `/v2/images/${id}%2F${op}`),
  spelling("refused", BOTH, (id, op) => `/v2/images/${id}/%2f${op}`),
  spelling("refused", BOTH, (id, op) => `/%2fv2/images/${id}/${op}`),
  spelling("refused", BOTH, (id, op) => `/${escaped(canonical(id, op))}`),
  spelling("refused", NONE, (id, op) => `/v2/images/${id}/${op}%2f`),
  spelling("refused", NONE, (id, op) => `/v2/images/${id}\\${op}`),
  spelling("refused", NONE, (id, op) => `/v2/images/${id}%5c${op}`),
  spelling("refused", NONE, (id, op) => `\\v2/images/${id}/${op}`),

  // Dot segments.
  spelling("refused", UWSGI, (id, op) => `/./v2/images/${id}/${op}`),
  spelling("refused", UWSGI, (id, op) => `/v2/./images/${id}/${op}`),
  spelling("refused", UWSGI, (id, op) => `/v2/images/${id}/./${op}`),
  spelling("refused", UWSGI, (id, op) => `/v2/images/${id}/x/../${op}`),
  spelling("refused", UWSGI, (id, op) => `/x/../v2/images/${id}/${op}`),
  spelling("refused", UWSGI, (id, op) => `/../v2/images/${id}/${op}`),
  spelling("refused", NONE, (id, op) => `/v2/images/${id}/%2e/${op}`),
  spelling("refused", NONE, (id, op) => `/v2/images/${id}/x/%2E%2e/${op}`),
  spelling("refused", NONE, (id, op) => `/v2/images/${id}/x/.%2e/${op}`),
  spelling("refused", NONE, (id, op) => `/v2/images/${id}/x%2f..%2f${op}`),
  spelling("refused", NONE, (id, op) => `/v2/images/${id}/${op}/.`),
  spelling("refused", NONE, (id, op) => `/v2/images/${id}/${op}/x/..`),
  spelling("other", NONE, (id, op) => `/v2/images/${id}/.../${op}`),
  spelling("other", NONE, (id, op) => `/v2/images/${id}/.${op}`),

  // Control bytes, blanks, bytes beyond ASCII.
  spelling("refused", BOTH, (id, op) => `/v2/images/${id}/${op}%0a`),
  spelling("refused", BOTH, (id, op) => `/v2/images/${id}/${op}%0A?x`),
  spelling("refused", NONE, (id, op) => `/v2/images/${id}/${op}%0d`),
  spelling("refused", NONE, (id, op) => `/v2/images/${id}/${op}%0d%0a`),
  spelling("refused", NONE, (id, op) => `/v2/images/${id}/${op}%00`),
  spelling("refused", NONE, (id, op) => `/v2/images/${id}/${op}%09`),
  spelling("refused", NONE, (id, op) => `/v2/images/${id}/%0a${op}`),
  spelling("refused", NONE, (id, op) => `/v2/images/${id}/${op}%7f`),
  spelling("refused", NONE, (id, op) => `/v2.1%00/images/${id}/${op}`),
  spelling("refused", NONE, (id, op) => `/v2/images/${id}/${op}\x01`),
  spelling("refused", NONE, (id, op) => `/v2/images/${id}/${op}\x7f`),
  spelling("refused", EVENTLET, (id, op) => `/v2/images/${id}/${op}\t`),
  spelling("refused", EVENTLET, (id, op) => `/v2/images/${id}/${op}\x85`),
  spelling("refused", EVENTLET, (id, op) => `/v2/images/${id}/${op}\xa0`),
  spelling("upload", EVENTLET, (id, op) => `/v2/images/${id}/${op} `, { canonical }),
  spelling("upload", EVENTLET, (id, op) => ` /v2/images/${id}/${op}`, { canonical }),
  spelling("other", NONE, (id, op) => `/v2/images/${id}/${op}%20`),
  spelling("other", NONE, (id, op) => `/v2/images/${id}/${op}+`),
  spelling("other", NONE, (id, op) => `/v2/images/${id}/${op}%C2%85`),
  spelling("other", NONE, (id, op) => `/v2/images/${id}/${op}%E2%80%A8`),
  spelling("refused", NONE, (id, op) => `/v2/images/${id}/${op}%ff`),
  spelling("refused", NONE, (id, op) => `/v2/images/${id}/${op}%c0%8a`),
  spelling("refused", NONE, (id, op) => `/v2/images/${id}%c0%af${op}`),

  // Malformed percent-encodings, fragments, and what else may stand behind the name.
  spelling("refused", UWSGI, (id, op) => `/v2/images/${id}/${op}%`),
  spelling("refused", UWSGI, (id, op) => `/v2/images/${id}/${op}%0`),
  spelling("refused", NONE, (id, op) => `/v2/images/${id}/${op}%zz`),
  spelling("refused", NONE, (id, op) => `/v2/images/${id}/${op}%u0065`),
  spelling("refused", UWSGI, (id, op) => `/v2/images/${id}/${op}#x`),
  spelling("refused", UWSGI, (id, op) => `/v2/images/${id}/${op}#`),
  spelling("other", NONE, (id, op) => `/v2/images/${id}/${op}%23x`),
  spelling("other", NONE, (id, op) => `/v2/images/${id}/${op}%3Fx`),
  spelling("other", NONE, (id, op) => `/v2/images/${id}/${op}.json`),
  spelling("other", NONE, (id, op) => `/v2/images/${id}/${op};x`),
  spelling("other", NONE, (id, op) => `/v2/images/${id}/${op};x=/${op}`),
  spelling("other", NONE, (id, op) => `/v2/images/${id}/${op}/${op}`),
  spelling("other", NONE, (id, op) => `/v2/images/${id}/${op.toUpperCase()}`),
  spelling("other", NONE, (id, op) => `/v2/Images/${id}/${op}`),
  verbatim(NONE, (id, op) => `/v2/images/${id.toUpperCase()}/${op}`),
  verbatim(NONE, (id, op) => `/v2/images/${id}%3Bx/${op}`),
  verbatim(NONE, (id, op) => `/v2/images/${id}%20/${op}`),

  // Queries.
  ...[
    "?",
    "?x",
    "?a=b&c=%2F..//",
    "?/../",
    "?x?y",
    "?%zz",
    "?a=_method",
    "?_methods=GET",
    "?_METHOD=GET",
  ].map((query) => verbatim(BOTH, (id, op) => `/v2/images/${id}/${op}${query}`)),
  spelling("refused", BOTH, (id, op) => `/v2/images/${id}/${op}?x#y`),
  spelling("refused", BOTH, (id, op) => `/v2/images/${id}/${op}?x\\y`),
  ...["_method=PUT", "_method=put", "a=b&_method=pUt", "_method=", "_method"].map((query) =>
    spelling("refused", BOTH, (id, op) => `/v2/images/${id}/${op}?${query}`),
  ),
  ...["POST", "PATCH", "DELETE", "GET", "OPTIONS", "PROPFIND", "M-SEARCH"].map((method) =>
    spelling("refused", BOTH, (id, op) => `/v2/images/${id}/${op}?_method=PUT`, { method }),
  ),
  ...[
    "_method=put",
    "a&_method=PUT",
    "a;_method=PUT",
    ";_method=PUT",
    "&&_method=%50UT",
    "_method=GET&_method=PUT",
    "a=_method&%5fmethod=PUT",
    "a=_method&_%6Dethod=PUT",
    "a=_method;%5F%6D%65%74%68%6F%64=put",
  ].map((query) =>
    spelling("refused", BOTH, (id, op) => `/v2/images/${id}/${op}?${query}`, { method: "POST" }),
  ),
  ...["%5fmethod=PUT", "+_method=PUT", "_method=PUT&_method=GET"].map((query) =>
    spelling("refused", NONE, (id, op) => `/v2/images/${id}/${op}?${query}`, { method: "POST" }),
  ),
  spelling("other", NONE, (id, op) => `/v2/images/${id}/${op}?_METHOD=PUT`, { method: "POST" }),
  spelling("refused", BOTH, (id, op) => `//v2.3/images/${id}//${escaped(op)}?;_method=pUT`, {
    method: "PATCH",
  }),

  // Other methods, and headers that would override one.
  ...["POST", "PATCH", "MKCOL", "LOCK"].map((method) => spelling("other", NONE, canonical, { method })),
  ...["put", "Put", "PUTT"].map((method) => spelling("refused", NONE, canonical, { method })),
  spelling("other", NONE, canonical, {
    method: "POST",
    headers: { "X-HTTP-Method-Override": "PUT", "X-HTTP-Method": "PUT", "X-Method-Override": "PUT" },
  }),

  // Forms other than that of a path.
  spelling("refused", NONE, (id, op) => `http://glance.test/v2/images/${id}/${op}`),
  spelling("refused", NONE, (id, op) => `HTTP://glance.test/v2/images/${id}/${op}`),
  spelling("refused", NONE, (id, op) => `http:/v2/images/${id}/${op}`),
  spelling("refused", BOTH, (id, op) => `v2/images/${id}/${op}`),
  spelling("refused", NONE, (id, op) => `?/v2/images/${id}/${op}`),
  spelling("refused", NONE, () => "*"),
  spelling("refused", NONE, () => "glance.test:9292"),
];

interface Seen {
  readonly proxied: Reply;
  readonly afterProxied: Holding;
  readonly direct: Reply;
  /** Whether Glance itself took it for an upload. */
  readonly taken: boolean;
}

/** As shown for a test, with everything that cannot be printed written out. */
function nameOf({ target, method = "PUT", headers = {} }: Spelling, operation: Operation): string {
  const shown = JSON.stringify(target("{id}", operation))
    .slice(1, -1)
    .replace(/[\x7f-\xff]/g, encodeURI);
  return [method, shown, ...Object.entries(headers).map((line) => line.join(": "))].join(" ");
}

function upload(
  { target, method = "PUT", headers }: Spelling,
  operation: Operation,
  id: string,
  body: string,
): string {
  const framing = { "Content-Type": "application/octet-stream", "Transfer-Encoding": "chunked", [SIZE]: 5 };
  return (
    requestHead(method, target(id, operation), { ...framing, Connection: "close", ...headers }) + chunks(body)
  );
}

// With a cache Glance knows the versions 2.14 and 2.16 too; without its middleware nothing is cached.
const inquiryOf = inquire(askedOf, ask, (directory) => [`image_cache_dir = ${directory}/cache`]);

async function ask(stage: Stage, { spelling, operation }: Asked): Promise<Seen> {
  const { glance, proxy } = stage;
  const id = await stage.image();
  const bytes = upload(spelling, operation, id, "hello!");
  const proxied = await send(proxy.port, bytes);
  const afterProxied = await holding(glance, id);
  const direct = await send(glance.port, bytes);
  const taken = direct.status === 204 || (await glance.bytesOf(id)) !== undefined;
  const answered = proxied.status !== undefined && direct.status !== undefined;
  if (answered && !taken && afterProxied.status === "queued") stage.putBack(id);
  return { proxied, afterProxied, direct, taken };
}

describe.each(SERVERS)("One byte longer than declared, to Glance under %s,", (server) => {
  describeWith(SERVER_REQUIREMENTS[server], "by", () => {
    let inquiry: Inquiry<Seen>;
    beforeAll(async () => {
      inquiry = await inquiryOf(server);
    });

    it.each(
      askedOf().map((asked, index) => [nameOf(asked.spelling, asked.operation), asked, index] as const),
    )("%s, an upload is not accepted", async (_, { spelling }, index) => {
      const result = await inquiry.answers[index];
      if (!result) throw new Error("not asked");
      const { proxied, afterProxied, direct, taken } = result;
      expect(afterProxied).toEqual(UNTOUCHED);
      const enforced = proxied.status === 400 && proxied.text.includes("expected 5 bytes, got 6 bytes");
      const refused =
        proxied.status === 400 &&
        /Invalid request target|not valid HTTP|Transfer-Encoding/.test(proxied.text);
      const answered = !enforced && !refused && (proxied.status ?? 0) >= 300;
      expect({ enforced, refused, answered, proxied }).toMatchObject(
        {
          upload: taken ? { enforced: true } : { refused: false },
          refused: { refused: true },
          other: { answered: true },
        }[spelling.reading],
      );
      // However the table may read.
      if (taken) expect(answered).toBe(false);
      if (spelling.takenBy.includes(server)) expect({ taken, direct }).toMatchObject({ taken: true });
    });
  });
});

interface Asked {
  readonly spelling: Spelling;
  readonly operation: Operation;
}

/**
 * Those that are taken and refused are asked for `file` and `stage`. The others take turns, for every one costs a Glance
 * some time; that both operations are read alike, the recording upstream shows for each of them.
 */
function askedOf(): readonly Asked[] {
  return SPELLINGS.flatMap((spelling, row) => {
    const turns = spelling.takenBy.length === 0 || spelling.reading === "upload";
    return OPERATIONS.filter((operation) => !turns || operation === OPERATIONS[row % 2]).map((operation) => ({
      spelling,
      operation,
    }));
  });
}

describe("As long as declared, by", () => {
  const ID = "71c675ab-d94f-49cd-a114-e12490b328d9";
  let upstream: RecordingUpstream;
  let proxy: TestProxy;
  beforeAll(async () => {
    upstream = await startRecordingUpstream();
    proxy = await startProxy(upstream.url);
  });
  afterAll(async () => {
    proxy.stop();
    await upstream.stop();
  });

  const uploads = SPELLINGS.filter(({ reading }) => reading === "upload").flatMap((spelling) =>
    OPERATIONS.map((operation) => [nameOf(spelling, operation), spelling, operation] as const),
  );
  it.each(uploads)(
    "%s, it arrives under its canonical path, its size told once",
    async (_, spelling, operation) => {
      upstream.requests.length = 0;
      const { status } = await send(proxy.port, upload(spelling, operation, ID, "hello"));
      expect(status).toBe(204);
      expect(upstream.requests).toMatchObject([
        { method: "PUT", target: (spelling.canonical ?? canonical)(ID, operation), bytes: 5, complete: true },
      ]);
      const names = upstream.requests[0]?.rawHeaders.filter((_value, index) => index % 2 === 0) ?? [];
      expect(names.filter((name) => name.toLowerCase() === SIZE)).toHaveLength(1);
      expect(upstream.requests[0]?.headers).toMatchObject({ [SIZE]: "5", "content-length": "5" });
    },
  );
});
