/**
 * Uploads into a real Ceph, through everything that cuts a body anew: HAProxy before the proxy, uWSGI behind it. glance_store's RBD
 * driver makes an image of unknown size larger by 8 MiB when it is full, and then writes what it has read: more, if a chunk went beyond.
 */
import { createHash, randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Balancer, BALANCER_REQUIREMENTS, startBalancer } from "../support/balancers.js";
import { sha256 } from "../support/bytes.js";
import { type Ceph, CEPH_REQUIREMENTS, startCeph } from "../support/ceph.js";
import { type RunningCommand, startCommand } from "../support/cli.js";
import { createImage, OCTET_STREAM, showImage, until, untilStatus } from "../support/glance-client.js";
import { SERVER_REQUIREMENTS } from "../support/glance-servers.js";
import { connect, type HeaderValues, request } from "../support/raw-http.js";
import { type RealGlance, startRealGlance } from "../support/real-glance.js";
import { describeWith } from "../support/requirements.js";

const MIB = 2 ** 20;
const SIZE = "x-openstack-image-size";
const CHUNKED = { "Transfer-Encoding": "chunked" };
/** Full twice before its end. */
const IMAGE = randomBytes(20 * MIB + 7);
/** Filled once. With pieces of one byte, six bytes are sent for each of its bytes. */
const SMALL_IMAGE = IMAGE.subarray(0, 9 * MIB + 7);
const PIECES = [1, 1_000, 16_320, 65_535, 65_536, 100_000, MIB];
const DEADLINE_MS = 120_000;

const requirements = [...CEPH_REQUIREMENTS, ...SERVER_REQUIREMENTS.uwsgi, ...BALANCER_REQUIREMENTS.haproxy];

describeWith(requirements, "Uploads to RBD under uWSGI, through HAProxy", () => {
  let ceph: Ceph;
  let glance: RealGlance;
  const proxies: RunningCommand[] = [];
  const balancers: Balancer[] = [];
  /** The port of a HAProxy in front of Glance, or of a proxy with that `size.unknown`. */
  const ports = { direct: 0, forward: 0, spool: 0 };

  beforeAll(async () => {
    ceph = await startCeph();
    glance = await startRealGlance({ server: "uwsgi", store: ceph.store });
    const balance = async (port: number): Promise<number> => {
      const balancer = await startBalancer("haproxy", port);
      balancers.push(balancer);
      return balancer.port;
    };
    ports.direct = await balance(glance.port);
    for (const unknown of ["forward", "spool"] as const) {
      const proxy = await startCommand(glance.url, { GLANCE_SIZE_PROXY_SIZE__UNKNOWN: unknown });
      proxies.push(proxy);
      ports[unknown] = await balance(proxy.port);
    }
  });
  afterAll(async () => {
    await Promise.all(balancers.map((balancer) => balancer.stop()));
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    await (glance as RealGlance | undefined)?.stop();
    await (ceph as Ceph | undefined)?.stop();
  });

  const target = (id: string): string => `/v2/images/${id}/file`;
  const put = (port: number, id: string, headers: HeaderValues, body: Buffer) =>
    request(port, "PUT", target(id), {
      headers: { ...OCTET_STREAM, ...headers },
      body,
      deadlineMs: DEADLINE_MS,
    });

  it.each([1_000, 16_320, 100_000, MIB])("fail without the proxy, in pieces of %i bytes", async (piece) => {
    const id = await createImage(glance.port);
    const answer = await put(ports.direct, id, CHUNKED, chunked(IMAGE, piece)).catch(() => undefined);
    expect([500, 502, undefined]).toContain(answer?.status); // or no answer at all
    expect(await untilStatus(glance.port, id, "queued")).toMatchObject({ size: null });
  });

  describe.each(["forward", "spool"] as const)("with size.unknown: %s", (unknown) => {
    describe.each(PIECES)("in pieces of %i bytes", (piece) => {
      it.each([
        ["of unknown size", false],
        ["of a declared size", true],
      ])("make the image that was sent, %s", async (_, isDeclared) => {
        const image = piece === 1 ? SMALL_IMAGE : IMAGE;
        const headers = { ...CHUNKED, ...(isDeclared ? { [SIZE]: image.length } : {}) };
        await expectStored(image, headers, chunked(image, piece));
      });
    });

    it("make the image that was sent, with Content-Length", () => expectStored(IMAGE, {}, IMAGE));

    async function expectStored(image: Buffer, headers: HeaderValues, body: Buffer): Promise<void> {
      const id = await createImage(glance.port);
      const answer = await put(ports[unknown], id, headers, body);
      expect(answer.status, answer.text).toBe(204);
      const checksum = createHash("md5").update(image).digest("hex");
      expect(await showImage(glance.port, id)).toMatchObject({
        ...{ status: "active", size: image.length, checksum },
      });
      const back = await request(ports[unknown], "GET", target(id));
      expect(sha256(back.body)).toBe(sha256(image));
      expect(await ceph.list()).toContain(id);
      await request(glance.port, "DELETE", `/v2/images/${id}`);
      expect(await ceph.list()).not.toContain(id);
    }

    it.each([
      ["longer than declared", IMAGE.length - 1, "Size exceeds"],
      ["shorter than declared", IMAGE.length + 1, "Size mismatch"],
    ])("leave no RBD image if the body is %s", async (_, declared, explanation) => {
      const id = await createImage(glance.port);
      const headers = { ...CHUNKED, [SIZE]: declared };
      const answer = await put(ports[unknown], id, headers, chunked(IMAGE, 100_000));
      expect(answer.status).toBe(400);
      expect(answer.text).toContain(explanation);
      expect(await showImage(glance.port, id)).toMatchObject({ status: "queued", size: null });
      expect(await ceph.list()).not.toContain(id);
    });

    it("leave no RBD image if the client goes away in the middle", () =>
      expectNone({ [SIZE]: IMAGE.length }));

    // A body that is spooled does not reach Glance before its end.
    if (unknown === "forward") {
      it("leave no RBD image if the client goes away in the middle of a body of unknown size", () =>
        expectNone({}));
    }

    async function expectNone(headers: HeaderValues): Promise<void> {
      const id = await createImage(glance.port);
      const peer = await connect(ports[unknown]);
      peer.sendHead("PUT", target(id), { ...OCTET_STREAM, ...CHUNKED, ...headers });
      peer.send(chunked(IMAGE.subarray(0, 10 * MIB), 100_000).subarray(0, -"0\r\n\r\n".length));
      await until(
        () => ceph.list(),
        (names) => names.includes(id),
      );
      peer.destroy();
      await untilStatus(glance.port, id, "queued");
      expect(await ceph.list()).not.toContain(id);
    }
  });
});

/** The whole body, encoded. */
function chunked(image: Buffer, pieceBytes: number): Buffer {
  const before = (bytes: number): Buffer => Buffer.from(`${bytes.toString(16)}\r\n`);
  const full = before(pieceBytes);
  const count = Math.ceil(image.length / pieceBytes);
  const encoded = Buffer.alloc(image.length + count * (full.length + 2) + "0\r\n\r\n".length);
  let at = 0;
  for (let from = 0; from < image.length; from += pieceBytes) {
    const bytes = Math.min(pieceBytes, image.length - from);
    at += (bytes === pieceBytes ? full : before(bytes)).copy(encoded, at);
    at += image.copy(encoded, at, from, from + bytes);
    at += encoded.write("\r\n", at);
  }
  at += encoded.write("0\r\n\r\n", at);
  return encoded.subarray(0, at);
}
