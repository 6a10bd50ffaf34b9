/**
 * Uploads to each kind of store, in each way, whole and cut: what Glance asks of the store, and what stays there. At its end the run
 * writes `docs/stores.md`.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { CEPH_REQUIREMENTS } from "../support/ceph.js";
import { CINDER_REQUIREMENTS } from "../support/cinder.js";
import { type RunningCommand, startCommand } from "../support/cli.js";
import { createImage, showImage, until, untilStatus } from "../support/glance-client.js";
import { SERVER_REQUIREMENTS } from "../support/glance-servers.js";
import type { Requirement } from "../support/provided.js";
import { request } from "../support/raw-http.js";
import { type RealGlance, startRealGlance } from "../support/real-glance.js";
import { describeWith } from "../support/requirements.js";
import { SWIFT_REQUIREMENTS } from "../support/swift.js";
import { CINDER_IMAGE_BYTES, startCinderStore } from "./cinder-store.js";
import { startFileStore } from "./file-store.js";
import { startRbdStore } from "./rbd-store.js";
import { type CutRow, type TestedServer, type UploadRow, writeReport } from "./report.js";
import { startS3Store } from "./s3-store.js";
import { startSwiftStore } from "./swift-store.js";
import { CUT_AT, IMAGE_BYTES, NOTHING, type TestedStore } from "./tested-store.js";
import {
  begin,
  describeWay,
  digest,
  download,
  isDeclared,
  type Through,
  upload,
  type Way,
  WAYS,
} from "./uploads.js";

interface Kind {
  readonly name: string;
  readonly requirements: readonly Requirement[];
  readonly start: () => Promise<TestedStore>;
  /** Default {@link IMAGE_BYTES}. */
  readonly imageBytes?: number;
  /** Default {@link SERVERS}. */
  readonly servers?: readonly TestedServer[];
}

const SERVERS: readonly TestedServer[] = ["eventlet", "uwsgi"];
const KINDS: readonly Kind[] = [
  { name: "file", requirements: [], start: startFileStore },
  { name: "RBD", requirements: CEPH_REQUIREMENTS, start: startRbdStore },
  { name: "S3", requirements: [...SWIFT_REQUIREMENTS, "boto3"], start: startS3Store },
  { name: "Swift", requirements: SWIFT_REQUIREMENTS, start: startSwiftStore },
  {
    ...{ name: "Cinder", requirements: CINDER_REQUIREMENTS, start: startCinderStore },
    // Large images: one server is enough.
    ...{ imageBytes: CINDER_IMAGE_BYTES, servers: ["eventlet"] },
  },
];
const DEADLINE_MS = 20_000;

const uploads: UploadRow[] = [];
const cuts: CutRow[] = [];

vi.setConfig({ testTimeout: 300_000, hookTimeout: 180_000 });

for (const { name, requirements, start, imageBytes = IMAGE_BYTES, servers = SERVERS } of KINDS) {
  const all = [...requirements, ...SERVER_REQUIREMENTS.eventlet, ...SERVER_REQUIREMENTS.uwsgi];
  describeWith(all, `Uploads to ${name}`, () => {
    let store: TestedStore;
    beforeAll(async () => {
      store = await start();
    });
    afterAll(async () => {
      await (store as TestedStore | undefined)?.stop();
    });

    describe.each(servers)("under %s", (server) => {
      let glance: RealGlance;
      const proxies: RunningCommand[] = [];
      const ports: Record<Through, number> = { direct: 0, forward: 0, spool: 0 };

      beforeAll(async () => {
        glance = await startRealGlance({ server, store: store.glance, defaults: ["debug = true"] });
        ports.direct = glance.port;
        for (const unknown of ["forward", "spool"] as const) {
          const proxy = await startCommand(glance.url, { GLANCE_SIZE_PROXY_SIZE__UNKNOWN: unknown });
          proxies.push(proxy);
          ports[unknown] = proxy.port;
        }
      });
      afterAll(async () => {
        await Promise.all(proxies.map((proxy) => proxy.stop()));
        await (glance as RealGlance | undefined)?.stop();
      });

      afterEach(() => store.clear());

      const untilLeft = (expected: string): Promise<string> =>
        until(
          () => store.left(),
          (left) => left === expected,
          DEADLINE_MS,
        );

      it.each(WAYS.map((way) => [describeWay(way), way] as const))(
        "store what was sent: %s",
        async (_, way) => {
          const port = ports[way.through];
          const id = await createImage(glance.port);
          const before = { requests: store.requests.length, log: (await glance.log()).length };
          const answer = await upload(port, id, way.framing, imageBytes, imageBytes);
          expect(answer.status, answer.text).toBe(204);
          expect(await showImage(port, id)).toMatchObject({ status: "active", size: imageBytes });
          const log = (await glance.log()).slice(before.log);
          const operations = store.operations(store.requests.slice(before.requests), log);
          expect(await download(port, id)).toBe(digest(imageBytes));
          await request(glance.port, "DELETE", `/v2/images/${id}`);
          await untilLeft(NOTHING);
          uploads.push({ store: name, server, way: describeWay(way), operations });
        },
      );

      const recordCut = async (way: Way, cut: string, answer: string): Promise<void> => {
        const left = await store.left();
        expect(left).toBe(store.afterCut({ isDeclared: isDeclared(way), server }));
        cuts.push({ store: name, server, way: describeWay(way), cut, answer, left });
      };

      it.each([
        ["longer", imageBytes - 1, "Size exceeds"],
        ["shorter", imageBytes + 1, "Size mismatch"],
      ])("put the image back if the body is %s than declared", async (cut, declared, explanation) => {
        const way: Way = { through: "forward", framing: "chunked, size declared" };
        const id = await createImage(glance.port);
        const answer = await upload(ports.forward, id, way.framing, declared, imageBytes);
        expect(answer.status).toBe(400);
        expect(answer.text).toContain(explanation);
        expect(await showImage(glance.port, id)).toMatchObject({ status: "queued", size: null });
        await untilLeft(store.afterCut({ isDeclared: true, server }));
        await recordCut(way, `body ${cut} than declared`, "400");
      });

      // What is spooled does not reach Glance before its end.
      const cuttable = WAYS.filter(({ through }) => through !== "spool");
      it.each(cuttable.map((way) => [describeWay(way), way] as const))(
        "put the image back if the client goes away: %s",
        async (_, way) => {
          const id = await createImage(glance.port);
          const peer = await begin(ports[way.through], id, way.framing, imageBytes, CUT_AT);
          await untilStatus(glance.port, id, "saving");
          await untilLeft(store.atCut({ isDeclared: isDeclared(way), server }));
          peer.destroy();
          await until(
            () => showImage(glance.port, id),
            ({ status }) => status === "queued",
            DEADLINE_MS,
          );
          await untilLeft(store.afterCut({ isDeclared: isDeclared(way), server }));
          await recordCut(way, "client gone", "");
        },
      );
    });
  });
}

describe("docs/stores.md", () => {
  it("is written if every store was tried", async ({ skip }) => {
    const tried = new Set(uploads.map(({ store }) => store));
    if (tried.size < KINDS.length) skip("not every store was tried");
    await writeReport(uploads, cuts);
  });
});
