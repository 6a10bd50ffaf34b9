/**
 * Real servers refuse in the middle of a body, and some reset the connection behind the answer. Each refusal reaches the client all
 * the same. `EARLY_ANSWERS=200` asks every server for every refusal 200 times.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCommand, type RunningCommand } from "../support/cli.js";
import { createImage, OCTET_STREAM, putImageData } from "../support/glance-client.js";
import { SERVER_REQUIREMENTS } from "../support/glance-servers.js";
import { request, type HeaderValues } from "../support/raw-http.js";
import { startRealGlance, type RealGlance } from "../support/real-glance.js";
import { describeWith } from "../support/requirements.js";

const TIMES = Number(process.env["EARLY_ANSWERS"] ?? 20);
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

const LENGTH = { "Content-Length": BODY.length };
const CHUNKED = { "Transfer-Encoding": "chunked" };
const CHUNKED_BODY = Buffer.concat([
  Buffer.from(`${BODY.length.toString(16)}\r\n`),
  BODY,
  Buffer.from("\r\n0\r\n\r\n"),
]);

describe.each(["eventlet", "uwsgi", "uwsgi-router", "apache"] as const)("%s", (server) => {
  describeWith(SERVER_REQUIREMENTS[server], `A refusal by Glance under ${server}`, () => {
    let glance: RealGlance;
    const proxies: RunningCommand[] = [];

    beforeAll(async () => {
      const policies = { upload_image: `not '${FORBIDDEN}':%(name)s` };
      glance = await startRealGlance({ server, policies, defaults: [`image_size_cap = ${CAP_BYTES}`] });
      for (const workers of ["1", "2"]) {
        proxies.push(await startCommand(glance.url, { GLANCE_SIZE_PROXY_WORKERS: workers }));
      }
    });
    afterAll(async () => {
      await Promise.all(proxies.map((proxy) => proxy.stop()));
      await (glance as RealGlance | undefined)?.stop();
    });

    it.each(REFUSALS)(
      `reaches the client, ${TIMES} times of ${TIMES}: $status`,
      async (refusal) => {
        const counts = new Map<string, number>();
        const runs = [...Array(TIMES).keys()];
        const upload = async (run: number): Promise<void> => {
          const id = await refusal.image(glance.port);
          const port = process.env["DIRECT"] ? glance.port : (proxies[run % 2]?.port ?? 0);
          const isChunked = run % 4 < 2;
          const headers = { ...OCTET_STREAM, ...(isChunked ? CHUNKED : LENGTH), ...refusal.headers };
          const body = isChunked ? CHUNKED_BODY : BODY;
          const seen = await request(port, "PUT", `/v2/images/${id}/file`, { headers, body }).then(
            ({ status, text }) => (text.includes(refusal.text) ? `${status}` : `${status} ${text}`),
            String,
          );
          counts.set(seen, (counts.get(seen) ?? 0) + 1);
        };
        await Promise.all(
          [...Array(AT_ONCE).keys()].map(async () => {
            for (let run = runs.shift(); run !== undefined; run = runs.shift()) await upload(run);
          }),
        );
        expect(Object.fromEntries(counts)).toEqual({ [refusal.status]: TIMES });
      },
      600_000,
    );
  });
});
