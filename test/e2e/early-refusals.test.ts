/**
 * Real servers refuse an upload while its body is on its way, and uWSGI resets the connection then. The client reads the refusal
 * all the same. `EARLY_ANSWERS=200` makes 200 uploads for each server and each refusal.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RunningCommand, startCommand } from "../support/cli.js";
import { createImage, OCTET_STREAM, putImageData } from "../support/glance-client.js";
import { type GlanceServer, SERVER_REQUIREMENTS } from "../support/glance-servers.js";
import { type HeaderValues, request } from "../support/raw-http.js";
import { type RealGlance, startRealGlance } from "../support/real-glance.js";
import { describeWith } from "../support/requirements.js";

const TIMES = Number(process.env["EARLY_ANSWERS"] ?? 12);
const AT_ONCE = 4;
const BODY = Buffer.alloc(2 ** 20, "x");
const CAP_BYTES = 300_000;
const FORBIDDEN = "forbidden";

interface Refusal {
  readonly status: number;
  /** Glance's own words. */
  readonly text: string;
  readonly headers?: HeaderValues;
  /** @returns the id of an image whose upload is refused so. */
  image(port: number): Promise<string>;
}

const REFUSALS: readonly Refusal[] = [
  // As Keystone's middleware tells Glance that it refuses a token.
  {
    status: 401,
    text: "could not verify that you are authorized",
    headers: { "X-Identity-Status": "Invalid" },
    image: createImage,
  },
  { status: 403, text: "Forbidden", image: (port) => createImage(port, { name: FORBIDDEN }) },
  { status: 404, text: "No image found with ID", image: () => Promise.resolve("nope") },
  {
    status: 409,
    text: "Image status transition from active to saving is not allowed",
    async image(port) {
      const id = await createImage(port);
      expect((await putImageData(port, id, "whole")).status).toBe(204);
      return id;
    },
  },
  // The only one that comes when part of the body has been read.
  { status: 413, text: "The provided image is too large", image: createImage },
  {
    status: 415,
    text: "Unsupported Media Type",
    headers: { "Content-Type": "text/plain" },
    image: createImage,
  },
];

const LENGTH = [{ "Content-Length": BODY.length }, BODY] as const;
const CHUNKED = [
  { "Transfer-Encoding": "chunked" },
  Buffer.concat([Buffer.from(`${BODY.length.toString(16)}\r\n`), BODY, Buffer.from("\r\n0\r\n\r\n")]),
] as const;

/**
 * uWSGI's router stops reading Glance's answer when it cannot send Glance more of the body: it then closes the connection without an
 * answer. The client is told that.
 */
const LOST: Readonly<Partial<Record<GlanceServer, RegExp>>> = { "uwsgi-router": /^50[24] / };

/** Each number of workers with each relay, over all servers. */
const PROXIES = {
  even: [
    { workers: "1", relay: "raw" },
    { workers: "2", relay: "stream" },
  ],
  odd: [
    { workers: "1", relay: "stream" },
    { workers: "2", relay: "raw" },
  ],
} as const;

describe.each([
  ["eventlet", PROXIES.even],
  ["uwsgi", PROXIES.odd],
  ["uwsgi-router", PROXIES.even],
  ["apache", PROXIES.odd],
] as const)("Glance under %s", (server, kinds) => {
  describeWith(SERVER_REQUIREMENTS[server], "refuses 1 MiB", () => {
    let glance: RealGlance;
    const proxies: RunningCommand[] = [];

    beforeAll(async () => {
      const policies = { upload_image: `not '${FORBIDDEN}':%(name)s` };
      glance = await startRealGlance({ server, policies, defaults: [`image_size_cap = ${CAP_BYTES}`] });
      for (const { workers, relay } of kinds) {
        const env = { GLANCE_SIZE_PROXY_WORKERS: workers, GLANCE_SIZE_PROXY_UPLOAD__RELAY: relay };
        proxies.push(await startCommand(glance.url, env));
      }
    });
    afterAll(async () => {
      await Promise.all(proxies.map((proxy) => proxy.stop()));
      await (glance as RealGlance | undefined)?.stop();
    });

    /** @returns the status, and the text if it is not Glance's; or why there is no answer. */
    async function upload(run: number, refusal: Refusal): Promise<string> {
      const id = await refusal.image(glance.port);
      const [head, body] = run % 4 < 2 ? CHUNKED : LENGTH;
      const { status, text } = await request(proxies[run % 2]?.port ?? 0, "PUT", `/v2/images/${id}/file`, {
        headers: { ...OCTET_STREAM, ...head, ...refusal.headers },
        body,
      });
      return text.includes(refusal.text) ? String(status) : `${status} ${text}`;
    }

    it.each(REFUSALS)(
      "with $status, and the client reads it",
      async (refusal) => {
        const seen: string[] = [];
        const runs = Array(TIMES).keys();
        await Promise.all(
          Array.from({ length: AT_ONCE }, async () => {
            for (const run of runs) seen.push(await upload(run, refusal).catch(String));
          }),
        );
        const lost = LOST[server];
        const kept = seen.filter((answer) => lost?.test(answer) !== true);
        if (TIMES > 20) console.log(`${server}, ${refusal.status}: ${kept.length} of ${TIMES} read`);
        expect(kept).toEqual(Array(kept.length).fill(String(refusal.status)));
        expect(seen).toHaveLength(TIMES);
      },
      600_000,
    );
  });
});
