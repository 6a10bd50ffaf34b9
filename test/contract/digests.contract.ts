/** Digests of a body, in front of a Glance: a wrong one leaves the image as it was, and a right one does not disturb. */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { patternedBytes } from "../support/bytes.js";
import { createImage, OCTET_STREAM, showImage, untilStatus } from "../support/glance-client.js";
import { startProxy, type TestProxy } from "../support/proxy.js";
import { connect, request } from "../support/raw-http.js";
import type { Glance } from "../support/real-glance.js";

const BODY = patternedBytes(300_000);
const SIZE = "x-openstack-image-size";
const COMPLETED = { file: "active", stage: "uploading" } as const;

const digestOf = (bytes: Buffer): string =>
  `sha-256=:${createHash("sha256").update(bytes).digest("base64")}:`;
const WRONG = digestOf(Buffer.from("other"));

const WAYS = [
  "Content-Length",
  "declared chunks, a trailer",
  "undeclared chunks",
  "spooled chunks, a trailer",
] as const;

export function describeDigests(glanceOf: () => Glance): void {
  describe.concurrent("digests", () => {
    let glance: Glance;
    let proxies: Record<"forward" | "spool", TestProxy>;
    beforeAll(async () => {
      glance = glanceOf();
      const start = (unknown: "forward" | "spool") => startProxy(glance.url, { size: { unknown } });
      proxies = { forward: await start("forward"), spool: await start("spool") };
    });
    afterAll(() => {
      for (const proxy of Object.values(proxies)) proxy.stop();
    });

    async function upload(id: string, operation: string, way: (typeof WAYS)[number], digest: string) {
      const peer = await connect(proxies[way.startsWith("spooled") ? "spool" : "forward"].port);
      const isTrailer = way.endsWith("trailer");
      peer.sendHead("PUT", `/v2/images/${id}/${operation}`, {
        ...OCTET_STREAM,
        ...(isTrailer ? { Trailer: "Content-Digest" } : { "Content-Digest": digest }),
        ...(way === "Content-Length"
          ? { "Content-Length": BODY.length }
          : { "Transfer-Encoding": "chunked" }),
        ...(way.startsWith("declared") ? { [SIZE]: BODY.length } : {}),
      });
      if (way === "Content-Length") peer.send(BODY);
      else {
        for (let at = 0; at < BODY.length; at += 70_001) peer.sendChunk(BODY.subarray(at, at + 70_001));
        peer.send(`0\r\n${isTrailer ? `Content-Digest: ${digest}\r\n` : ""}\r\n`);
      }
      const answer = await peer.response();
      peer.destroy();
      return answer;
    }

    it.each(WAYS.flatMap((way) => [["file", way] as const, ["stage", way] as const]))(
      "%s, %s: after a wrong digest the image is queued, and the next upload completes",
      async (operation, way) => {
        const id = await createImage(glance.port);
        const refused = await upload(id, operation, way, WRONG);
        expect([refused.status, refused.text]).toEqual([400, expect.stringContaining("Digest mismatch: ")]);
        expect(await showImage(glance.port, id)).toMatchObject({
          status: "queued",
          size: null,
          checksum: null,
        });
        expect(await glance.hasData(id, operation === "file" ? "store" : "staging")).toBe(false);

        expect((await upload(id, operation, way, digestOf(BODY))).status).toBe(204);
        await untilStatus(glance.port, id, COMPLETED[operation]);
        if (operation === "file") {
          const { body } = await request(glance.port, "GET", `/v2/images/${id}/file`);
          expect(digestOf(body)).toBe(digestOf(BODY));
        }
      },
    );
  });
}
