/** Bodies of unknown size, kept until their size is known: in memory, in the file, and if there is too little space. */
import { createHash, randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createImage,
  OCTET_STREAM,
  putImageData,
  showImage,
  until,
  untilStatus,
} from "../support/glance-client.js";
import { startProxy, type TestProxy } from "../support/proxy.js";
import { connect, type Peer } from "../support/raw-http.js";
import type { Glance } from "../support/real-glance.js";
import type { GlanceTraits } from "./traits.js";

const PIECE_BYTES = 30_000;
const SPOOL = { memory: "10KiB", maxPerUpload: "500KiB" } as const;

const PLACES = [
  { place: "nothing", bytes: 0, source: "spooled" },
  { place: "memory", bytes: 5, source: "spooled" },
  { place: "the file", bytes: 300_000, source: "spooled" },
  { place: "no place whole", bytes: 700_000, source: "unknown" },
] as const;

export function describeSpooledBodies(glanceOf: () => Glance, traits: GlanceTraits): void {
  describe("a body of unknown size, spooled", () => {
    let glance: Glance;
    let proxy: TestProxy;
    beforeAll(async () => {
      glance = glanceOf();
      proxy = await startProxy(glance.url, { size: { unknown: "spool" }, spool: SPOOL });
    });
    afterAll(() => (proxy as TestProxy | undefined)?.stop());

    async function begin(id: string, operation: string, expectation: boolean): Promise<Peer> {
      const peer = await connect(proxy.port);
      return peer.sendHead("PUT", `/v2/images/${id}/${operation}`, {
        ...OCTET_STREAM,
        "Transfer-Encoding": "chunked",
        ...(expectation ? { Expect: "100-continue" } : {}),
      });
    }

    function send(peer: Peer, body: Buffer): void {
      for (let at = 0; at < body.length; at += PIECE_BYTES)
        peer.sendChunk(body.subarray(at, at + PIECE_BYTES));
    }

    /** For a server whose refusals come after the body. */
    async function sendRest(peer: Peer, expectation: boolean): Promise<void> {
      if (expectation) expect((await peer.interim()).status).toBe(100);
      send(peer, randomBytes(100_000));
      peer.endChunks();
    }

    async function finished(id: string) {
      return (await proxy.uploads()).finished.find(({ imageId }) => imageId === id);
    }

    async function untilReceived(id: string, bytes: number): Promise<void> {
      await until(
        async () => (await proxy.uploads()).inFlight.find(({ imageId }) => imageId === id),
        (upload) => upload?.receivedBytes === bytes,
      );
    }

    async function expectQueued(id: string): Promise<void> {
      expect(await showImage(glance.port, id)).toMatchObject({
        status: "queued",
        size: null,
        checksum: null,
      });
      expect(await glance.hasData(id, "store")).toBe(false);
      expect(await glance.hasData(id, "staging")).toBe(false);
    }

    describe.concurrent.each(
      (["file", "stage"] as const).flatMap((operation) =>
        [true, false].map((expectation) => ({ operation, expectation })),
      ),
    )("$operation, Expect: $expectation", ({ operation, expectation }) => {
      describe.each(PLACES)("kept in $place ($bytes bytes)", ({ bytes, source }) => {
        it("becomes the image, whole", async () => {
          const id = await createImage(glance.port);
          const body = randomBytes(bytes);
          const peer = await begin(id, operation, expectation);
          try {
            if (expectation) expect((await peer.interim()).status).toBe(100);
            send(peer, body);
            peer.endChunks();
            expect((await peer.response()).status).toBe(204);
          } finally {
            peer.destroy();
          }
          expect(await finished(id)).toMatchObject({ sizeSource: source, receivedBytes: bytes });
          const image = await showImage(glance.port, id);
          if (operation === "file") {
            const checksum = createHash("md5").update(body).digest("hex");
            expect(image).toMatchObject({ status: "active", size: bytes, checksum });
          } else {
            expect(image).toMatchObject({ status: "uploading", size: bytes });
          }
        });

        it("leaves the image queued when the client goes away before its end", async () => {
          const id = await createImage(glance.port);
          const peer = await begin(id, operation, expectation);
          try {
            if (expectation) expect((await peer.interim()).status).toBe(100);
            send(peer, randomBytes(bytes));
            await untilReceived(id, bytes);
          } finally {
            peer.destroy();
          }
          const ended = await until(
            () => finished(id),
            (upload) => upload !== undefined,
            20_000,
          );
          expect(ended?.outcome).toBe("client_aborted");
          await expectQueued(id);
        });
      });

      it("is not spooled, and Glance answers, if the image has its data", async () => {
        const id = await createImage(glance.port);
        expect((await putImageData(glance.port, id, "first", { operation })).status).toBe(204);
        const peer = await begin(id, operation, expectation);
        try {
          if (!expectation) send(peer, randomBytes(100_000));
          if (!traits.refusesEarly) await sendRest(peer, expectation);
          const answer = await peer.response();
          expect(answer.status).toBe(409);
          expect(answer.text).toContain("Image status transition from");
          if (traits.refusesEarly) expect(peer.interims).toEqual([]);
        } finally {
          peer.destroy();
        }
        expect(await showImage(glance.port, id)).toMatchObject({ size: 5 });
      });

      it("is not spooled, and Glance answers, if there is no image", async () => {
        const peer = await begin("00000000-0000-4000-8000-000000000000", operation, expectation);
        try {
          if (!traits.refusesEarly) await sendRest(peer, expectation);
          expect((await peer.response()).status).toBe(404);
        } finally {
          peer.destroy();
        }
      });

      it("does not become the image if another upload was faster", async () => {
        const id = await createImage(glance.port);
        const peer = await begin(id, operation, expectation);
        try {
          if (expectation) expect((await peer.interim()).status).toBe(100);
          send(peer, Buffer.alloc(50_000));
          await untilReceived(id, 50_000);
          expect((await putImageData(glance.port, id, "first", { operation })).status).toBe(204);
          peer.endChunks();
          const answer = await peer.response();
          expect(answer.status).toBe(409);
          expect(answer.text).toContain("Image status transition from");
        } finally {
          peer.destroy();
        }
        const status = operation === "file" ? "active" : "uploading";
        expect(await untilStatus(glance.port, id, status)).toMatchObject({ size: 5 });
      });
    });

    it("frees all spool space in the end", async () => {
      await expect.poll(() => proxy.metric("spool_bytes")).toBe(0);
      expect(await proxy.metric("spool_uploads")).toBe(0);
    });
  });
}
