/**
 * A legacy Glance behind the proxy cannot be told from one that knows `x-openstack-image-size`: the same status, the same
 * explanation, the same image afterwards. Where a modern Glance is lax, the proxy is strict.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { UploadView } from "../../src/observe/uploads-registry.js";
import { patternedBytes } from "../support/bytes.js";
import {
  createImage,
  OCTET_STREAM,
  putImageData,
  showImage,
  until,
  untilStatus,
} from "../support/glance-client.js";
import type { Requirement } from "../support/provided.js";
import { startProxy, type TestProxy } from "../support/proxy.js";
import { connect, type HeaderValues, type Peer, request } from "../support/raw-http.js";
import type { Glance } from "../support/real-glance.js";
import { describeWith } from "../support/requirements.js";
import { describeDigests } from "./digests.contract.js";
import { describeImports } from "./imports.contract.js";
import { describeSpooledBodies } from "./spooled.contract.js";
import type { GlanceTraits } from "./traits.js";

const FRAMINGS = ["Content-Length", "chunked"] as const;
const COMPLETED = { file: "active", stage: "uploading" } as const;
const INVALID = "Invalid or missing image size in request headers.";
const SIZE = "x-openstack-image-size";

type Operation = keyof typeof COMPLETED;
/** `size.unknown` */
type Unknown = "forward" | "spool";

/** What of the size header comes of which body. */
const ROWS: readonly {
  readonly declared: string | undefined;
  readonly body: string;
  readonly status: number;
  readonly explanation?: string;
}[] = [
  { declared: "5", body: "hello", status: 204 },
  { declared: "4", body: "hello", status: 400, explanation: "Size exceeds: expected 4 bytes, got 5 bytes" },
  { declared: "6", body: "hello", status: 400, explanation: "Size mismatch: expected 6 bytes, got 5 bytes" },
  { declared: "abc", body: "hello", status: 400, explanation: INVALID },
  { declared: "5,5", body: "hello", status: 400, explanation: INVALID },
  { declared: "5.0", body: "hello", status: 400, explanation: INVALID },
  { declared: "0x5", body: "hello", status: 400, explanation: INVALID },
  { declared: "-1", body: "hello", status: 400, explanation: INVALID },
  { declared: "", body: "hello", status: 400, explanation: INVALID },
  // Lax in a modern Glance, strict here.
  { declared: "0", body: "hello", status: 400, explanation: "Size exceeds: expected 0 bytes, got 5 bytes" },
  { declared: "+5", body: "hello", status: 400, explanation: INVALID },
  { declared: "1_0", body: "helloworld", status: 400, explanation: INVALID },
  // Blanks around a value are no part of it.
  { declared: " 5 ", body: "hello", status: 204 },
  { declared: "0", body: "", status: 204 },
  { declared: undefined, body: "", status: 204 },
  { declared: undefined, body: "hello", status: 204 },
];

export function describeProxiedGlance(
  name: string,
  start: () => Promise<Glance>,
  traits: GlanceTraits,
  requirements: readonly Requirement[] = [],
  /** That this makes no difference to bodies of known size needs no proof under every server. */
  unknowns: readonly Unknown[] = ["forward", "spool"],
): void {
  describeWith(requirements, `Behind the proxy: ${name}`, () => {
    let glance: Glance;
    beforeAll(async () => {
      glance = await start();
    });
    afterAll(() => (glance as Glance | undefined)?.stop());

    describe.each(unknowns)("size.unknown: %s", (unknown) => {
      describeSizes(() => glance, traits, unknown);
    });
    describeSpooledBodies(() => glance, traits);
    describeDigests(() => glance);
    describeImports(() => glance);
  });
}

/** Whatever is done with bodies of unknown size, for all others it makes no difference. */
function describeSizes(glanceOf: () => Glance, traits: GlanceTraits, unknown: Unknown): void {
  let glance: Glance;
  let proxy: TestProxy;
  beforeAll(async () => {
    glance = glanceOf();
    proxy = await startProxy(glance.url, { size: { unknown } });
  });
  afterAll(() => (proxy as TestProxy | undefined)?.stop());

  async function begin(id: string, operation: Operation, headers: HeaderValues): Promise<Peer> {
    const peer = await connect(proxy.port);
    return peer.sendHead("PUT", `/v2/images/${id}/${operation}`, { ...OCTET_STREAM, ...headers });
  }

  async function inFlight(id: string): Promise<UploadView | undefined> {
    return (await proxy.uploads()).inFlight.find(({ imageId }) => imageId === id);
  }

  /** Asks Glance itself, once: the proxy has waited already. */
  async function expectQueued(id: string): Promise<void> {
    expect(await showImage(glance.port, id)).toMatchObject({
      status: "queued",
      size: null,
      checksum: null,
    });
    expect(await glance.hasData(id, "store")).toBe(false);
    expect(await glance.hasData(id, "staging")).toBe(false);
  }

  // Under uWSGI each upload waits a second for a 100 that never comes: let them wait together.
  describe.concurrent.each(["file", "stage"] as const)("%s", (operation) => {
    describe.each(FRAMINGS)("%s", (framing) => {
      it.each(ROWS)("declared $declared, body '$body': $status", async (row) => {
        const id = await createImage(glance.port);
        const peer = await begin(id, operation, {
          ...(row.declared === undefined ? {} : { [SIZE]: row.declared }),
          ...(framing === "chunked"
            ? { "Transfer-Encoding": "chunked" }
            : { "Content-Length": row.body.length }),
        });
        try {
          if (framing === "chunked") peer.sendChunk(row.body).endChunks();
          else peer.send(row.body);
          const answer = await peer.response();
          if (row.explanation === undefined) {
            expect(answer.status).toBe(row.status);
            const image = await showImage(glance.port, id);
            expect(image.status).toBe(COMPLETED[operation]);
            if (operation === "file") expect(image.size).toBe(row.body.length);
          } else {
            expect(answer.text).toBe(`${row.status} Bad Request\n\n${row.explanation}\n\n   `);
            expect(answer.headers["content-type"]).toBe("text/plain; charset=UTF-8");
            expect(answer.status).toBe(row.status);
            await expectQueued(id);
          }
        } finally {
          peer.destroy();
        }
      });
    });

    it("refuses a size header that is sent twice", async () => {
      const id = await createImage(glance.port);
      const answer = await putImageData(proxy.port, id, "hello", {
        operation,
        headers: { [SIZE]: ["5", "5"] },
      });
      expect(answer.status).toBe(400);
      expect(answer.text).toContain(INVALID);
      await expectQueued(id);
    });

    it.each([1, 5, 200_000])(
      "answers 400 and leaves the image queued when one byte follows the %i declared, after a pause",
      async (declared) => {
        const id = await createImage(glance.port);
        const peer = await begin(id, operation, { [SIZE]: declared, "Transfer-Encoding": "chunked" });
        try {
          for (let left = declared; left > 0; left -= 50_000) {
            peer.sendChunk(Buffer.alloc(Math.min(left, 50_000)));
          }
          // All but the byte held back has reached Glance: were it complete, it would now be active.
          await until(
            () => inFlight(id),
            (upload) => upload?.forwardedBytes === declared - 1,
          );
          await untilStatus(glance.port, id, "saving", "uploading");
          peer.sendChunk("x").endChunks();
          const answer = await peer.response();
          expect(answer.text).toContain(
            `Size exceeds: expected ${declared} bytes, got ${declared + 1} bytes`,
          );
          expect(answer.status).toBe(400);
          await expectQueued(id);
        } finally {
          peer.destroy();
        }
      },
    );

    it("answers 400 and leaves the image queued when a byte follows a declared 0, after a pause", async () => {
      const id = await createImage(glance.port);
      const peer = await begin(id, operation, { [SIZE]: 0, "Transfer-Encoding": "chunked" });
      try {
        await until(
          () => inFlight(id),
          (upload) => upload !== undefined,
        );
        await expectQueued(id);
        peer.sendChunk("x");
        const answer = await peer.response();
        expect(answer.text).toContain("Size exceeds: expected 0 bytes, got 1 bytes");
        await expectQueued(id);
      } finally {
        peer.destroy();
      }
    });

    it("lets a client try again at once after a 400", async () => {
      const id = await createImage(glance.port);
      for (let round = 0; round < 3; round += 1) {
        const refused = await request(proxy.port, "PUT", `/v2/images/${id}/${operation}`, {
          headers: { ...OCTET_STREAM, [SIZE]: 6, "Transfer-Encoding": "chunked" },
          body: "5\r\nhello\r\n0\r\n\r\n",
        });
        expect(refused.status).toBe(400);
        await expectQueued(id);
      }
      const accepted = await putImageData(proxy.port, id, "hello", { operation, headers: { [SIZE]: 5 } });
      expect(accepted.status).toBe(204);
    });

    it("puts the image back when the client goes away", async () => {
      const id = await createImage(glance.port);
      const peer = await begin(id, operation, { "Content-Length": 1000 });
      peer.send("hello");
      await untilStatus(glance.port, id, "saving", "uploading");
      peer.destroy();
      const ended = await until(
        async () => (await proxy.uploads()).finished.find(({ imageId }) => imageId === id),
        (upload) => upload !== undefined,
      );
      expect(ended?.outcome).toBe("client_aborted");
      await expectQueued(id);
    });

    const when = traits.refusesEarly ? "before the body has ended" : "when the body has ended";
    it(`passes on that there is no such image, ${when}`, async () => {
      const id = "00000000-0000-4000-8000-000000000000";
      const peer = await begin(id, operation, { "Transfer-Encoding": "chunked", [SIZE]: 1_000_000 });
      try {
        if (!traits.refusesEarly) peer.sendChunk(Buffer.alloc(1_000_000)).endChunks();
        const answer = await peer.response();
        expect(answer.status).toBe(404);
        expect(answer.text).toContain(`No image found with ID ${id}`);
      } finally {
        peer.destroy();
      }
    });

    it("passes on that the image has its data already", async () => {
      const id = await createImage(glance.port);
      expect((await putImageData(proxy.port, id, "hello", { operation })).status).toBe(204);
      const again = await putImageData(proxy.port, id, "hello", { operation, headers: { [SIZE]: 5 } });
      expect(again.status).toBe(409);
    });
  });

  it("answers in the media type that Accept asks for", async () => {
    const refuse = async (accept: string) =>
      putImageData(proxy.port, await createImage(glance.port), "hello", {
        headers: { [SIZE]: 4, Accept: accept },
      });
    const json = await refuse("application/json");
    expect(json.headers["content-type"]).toMatch(/^application\/json/);
    expect(json.json()).toEqual({
      message: "Size exceeds: expected 4 bytes, got 5 bytes<br /><br />\n\n\n",
      code: "400 Bad Request",
      title: "Bad Request",
    });
    const html = await refuse("*/*");
    expect(html.headers["content-type"]).toBe("text/html; charset=UTF-8");
    expect(html.text).toContain("<h1>400 Bad Request</h1>");
  });

  it("downloads what was uploaded, whole and in ranges", async () => {
    const id = await createImage(glance.port);
    const body = patternedBytes(300_000);
    expect((await putImageData(proxy.port, id, body)).status).toBe(204);
    const whole = await request(proxy.port, "GET", `/v2/images/${id}/file`);
    expect(whole.body.equals(body)).toBe(true);
    const part = await request(proxy.port, "GET", `/v2/images/${id}/file`, {
      headers: { Range: "bytes=100-199" },
    });
    expect(part.status).toBe(206);
    expect(part.body.equals(body.subarray(100, 200))).toBe(true);
  });

  it("points version links at the proxy", async () => {
    const versions = await request(proxy.port, "GET", "/versions", {
      headers: { Host: "images.example:9292" },
    });
    expect(versions.text).toContain("http://images.example:9292/v2/");
  });
}
