/** `size.unknown: spool`: a body of unknown size is kept until its size is known, and only then sent, with its size. */
import { randomBytes } from "node:crypto";
import { closeSync } from "node:fs";
import { mkdtemp, readdir, readFile, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { patternedBytes, sha256 } from "../support/bytes.js";
import { type RunningCommand, startCommand } from "../support/cli.js";
import { connect, request, requestHead } from "../support/raw-http.js";
import { describeWith } from "../support/requirements.js";
import { FILE, readAtOnce, readSlowly, SIZE, STAGE, useScene } from "./scene.js";

const KIB = 1024;
const dir = await mkdtemp(join(tmpdir(), "spool-"));
afterAll(() => rm(dir, { recursive: true, force: true }));

const spool = { dir, memory: "256KiB" };
const scene = useScene({ size: { unknown: "spool" }, spool, limits: { idleTimeout: "500ms" } });

async function expectNothingKept(): Promise<void> {
  await expect.poll(() => scene.proxy.metric("spool_bytes")).toBe(0);
  expect(await scene.proxy.metric("spool_uploads")).toBe(0);
  expect(await readdir(dir)).toEqual([]);
}

/** Files of this process below `dir` that have no name any more. */
async function openSpoolFiles(pid: number | "self" = "self"): Promise<string[]> {
  const descriptors = await readdir(`/proc/${pid}/fd`);
  const targets = await Promise.all(
    descriptors.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => "")),
  );
  return targets.filter((target) => target.startsWith(dir));
}

/** The one of this process's spool files that is open. */
async function spoolDescriptor(): Promise<number> {
  const descriptors = await readdir("/proc/self/fd");
  const targets = await Promise.all(descriptors.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "")));
  return Number(descriptors[targets.findIndex((target) => target.startsWith(dir))]);
}

describe.each([
  ["slow", readSlowly],
  ["fast", readAtOnce],
] as const)("every byte reaches a %s Glance as it was", (_, read) => {
  it.each([
    ["all of it kept", {}],
    ["the rest forwarded", { maxPerUpload: "3MiB", onFull: "forward" }],
  ] as const)("%s", async (_how, bounds) => {
    const other = await scene.startAnother({ size: { unknown: "spool" }, spool: { ...spool, ...bounds } });
    const seen = read(scene.upstream);
    const body = randomBytes(12 * KIB * KIB + 1);
    const peer = await scene.startUpload({}, FILE, other.port);
    for (let at = 0; at < body.length; at += 100_000) peer.sendChunk(body.subarray(at, at + 100_000));
    peer.endChunks();
    expect((await peer.response()).status).toBe(204);
    expect(seen.digest()).toBe(sha256(body));
  });
});

describe.each([FILE, STAGE])("%s", (target) => {
  it.each([0, 1, 5 * KIB, 256 * KIB, 256 * KIB + 1, 3 * KIB * KIB])(
    "%i bytes are sent with their size, once it is known",
    async (bytes) => {
      const body = patternedBytes(bytes);
      const seen: Buffer[] = [];
      scene.upstream.onUpload = (incoming, response) => {
        response.writeContinue();
        incoming.on("data", (piece: Buffer) => seen.push(piece));
        incoming.once("end", () => response.writeHead(204).end());
      };
      const peer = await scene.startUpload({}, target);
      for (let at = 0; at < bytes; at += 100_000) peer.sendChunk(body.subarray(at, at + 100_000));
      await scene.roundTrip();
      expect(scene.upstream.uploads).toEqual([]);
      // It has a name for the moment between its making and its unlinking, when it is still empty.
      await expect.poll(() => readdir(dir)).toEqual([]);
      peer.endChunks();
      expect((await peer.response()).status).toBe(204);
      const [upload] = scene.upstream.uploads;
      expect(upload).toMatchObject({ bytes, complete: true });
      expect(upload?.headers).toMatchObject({ [SIZE]: String(bytes), "content-length": String(bytes) });
      expect(Buffer.concat(seen).equals(body)).toBe(true);
      expect((await scene.proxy.uploads()).finished[0]).toMatchObject({
        sizeSource: "spooled",
        outcome: "completed",
        receivedBytes: bytes,
        forwardedBytes: bytes,
        declaredBytes: bytes,
      });
      expect(await scene.proxy.metric('undeclared_uploads_total{client="other"}')).toBe(1);
      await expectNothingKept();
    },
  );
});

it.runIf(process.platform === "linux")(
  "a small body never touches the disk, a large one has no name there",
  async () => {
    const small = await scene.startUpload();
    small.sendChunk(Buffer.alloc(256 * KIB));
    await expect.poll(() => scene.proxy.metric("spool_bytes")).toBe(256 * KIB);
    await expect.poll(() => openSpoolFiles()).toEqual([]); // the last one of another test may still be open
    const large = await scene.startUpload();
    large.sendChunk(Buffer.alloc(300 * KIB));
    await expect.poll(async () => (await openSpoolFiles()).join()).toMatch(/^[^,]+ \(deleted\)$/);
    expect(await scene.proxy.metric("spool_uploads")).toBe(2);
    small.destroy();
    large.destroy();
    await expectNothingKept();
    await expect.poll(() => openSpoolFiles()).toEqual([]);
  },
);

it("a missing spool.dir is reported at start-up", async () => {
  const start = scene.startAnother({ size: { unknown: "spool" }, spool: { dir: "/nowhere" } });
  await expect(start).rejects.toThrow(/^spool\.dir: "\/nowhere": cannot be written to \(ENOENT\)/);
});

it("a body with a declared size is not spooled", async () => {
  const peer = await scene.startUpload({ [SIZE]: 10 });
  peer.sendChunk("hello");
  await expect.poll(() => scene.upstream.uploads[0]?.bytes).toBe(5);
  expect(await scene.proxy.metric("spool_uploads")).toBe(0);
});

describe("a client of a spooled upload that", () => {
  it("goes away leaves nothing, and Glance hears nothing", async () => {
    const peer = await scene.startUpload();
    peer.sendChunk(Buffer.alloc(400 * KIB));
    await expect.poll(() => scene.proxy.metric("spool_bytes")).toBe(400 * KIB);
    peer.destroy();
    await expectNothingKept();
    expect((await scene.proxy.uploads()).finished[0]).toMatchObject({ outcome: "client_aborted" });
    expect(scene.upstream.uploads).toEqual([]);
  });

  it("goes away just when its file is opened leaves none open", async () => {
    for (let count = 0; count < 30; count += 1) {
      const peer = await scene.startUpload();
      peer.sendChunk(Buffer.alloc(300 * KIB));
      await peer.flushed();
      peer.destroy();
    }
    await expect.poll(async () => (await scene.proxy.uploads()).finished.length).toBe(30);
    await expectNothingKept();
    await expect.poll(() => openSpoolFiles()).toEqual([]);
  });

  it("sends single bytes loses none", async () => {
    const peer = await scene.startUpload();
    for (let count = 0; count < 1000; count += 1) peer.sendChunk(String(count % 10));
    peer.endChunks();
    expect((await peer.response()).status).toBe(204);
    expect(scene.upstream.uploads).toMatchObject([{ bytes: 1000, complete: true }]);
  });

  it("stops sending gets 408, and Glance hears nothing", async () => {
    const peer = await scene.startUpload();
    peer.sendChunk("hello");
    expect((await peer.response()).status).toBe(408);
    expect(scene.upstream.uploads).toEqual([]);
    await expectNothingKept();
  });

  it("leaves once its body is whole changes nothing for Glance", async () => {
    let answer = (): void => undefined;
    scene.upstream.onUpload = (incoming, response) => {
      response.writeContinue();
      incoming.resume().once("end", () => {
        answer = () => response.writeHead(204).end();
      });
    };
    const peer = await scene.startUpload();
    peer.sendChunk("hello").endChunks();
    await expect
      .poll(() => scene.upstream.uploads[0]?.complete ?? scene.upstream.uploads[0]?.bytes)
      .toBeTruthy();
    peer.destroy();
    answer();
    await expect.poll(async () => (await scene.proxy.uploads()).finished.length).toBe(1);
  });
});

describe("an upload that Glance would refuse", () => {
  it.each(["active", "saving", "deactivated"])(
    "is not kept if the image is %s: Glance answers",
    async (status) => {
      scene.upstream.imageStatus = status;
      scene.upstream.onUpload = (_incoming, response) => {
        response.writeHead(409, { "content-length": 2 }).end("no");
      };
      const peer = await scene.startUpload();
      peer.sendChunk("hello");
      const answer = await peer.response();
      expect(answer.status).toBe(409);
      expect(answer.text).toBe("no");
      expect(await scene.proxy.metric('upload_received_bytes_total{operation="file"}')).toBeLessThanOrEqual(
        5,
      );
    },
  );
});

describe("spool.maxPerUpload", () => {
  it("with onFull: forward, what was kept goes first, then the rest, as a body of unknown size", async () => {
    const proxy = await scene.startAnother({
      size: { unknown: "spool" },
      spool: { ...spool, maxPerUpload: "100KiB" },
    });
    const body = patternedBytes(700_000);
    const seen: Buffer[] = [];
    scene.upstream.onUpload = (incoming, response) => {
      response.writeContinue();
      incoming.on("data", (piece: Buffer) => seen.push(piece));
      incoming.once("end", () => response.writeHead(204).end());
    };
    const peer = await scene.startUpload({}, FILE, proxy.port);
    // All at once: what is too much comes in the middle of a read.
    const chunks: (string | Buffer)[] = [];
    for (let at = 0; at < body.length; at += 20_000) {
      chunks.push(`${(20_000).toString(16)}\r\n`, body.subarray(at, at + 20_000), "\r\n");
    }
    peer.send(Buffer.concat(chunks.map((part) => Buffer.from(part))), "0\r\n\r\n");
    expect((await peer.response()).status).toBe(204);
    expect(Buffer.concat(seen).equals(body)).toBe(true);
    const [upload] = scene.upstream.uploads;
    expect(upload?.headers).toMatchObject({ "transfer-encoding": "chunked" });
    expect(upload?.headers).not.toHaveProperty(SIZE);
    expect(await proxy.metric('spool_full_total{reason="per_upload"}')).toBe(1);
    expect((await proxy.uploads()).finished[0]).toMatchObject({
      sizeSource: "unknown",
      receivedBytes: 700_000,
    });
    await expect.poll(() => proxy.metric("spool_bytes")).toBe(0);
  });

  it.each([
    ["forward", 204, [{ bytes: 1025, complete: true }]],
    ["reject", 413, []],
  ] as const)(
    "with onFull: %s, the bound may lie in the very last piece",
    async (onFull, status, uploads) => {
      const proxy = await scene.startAnother({
        size: { unknown: "spool" },
        spool: { ...spool, maxPerUpload: "1KiB", onFull },
      });
      // All at once, so that the body has ended for Node when its pieces are read.
      const head = requestHead("PUT", FILE, { "Transfer-Encoding": "chunked" });
      const peer = await scene.connect(proxy.port);
      peer.send(`${head}400\r\n${"x".repeat(1024)}\r\n1\r\ny\r\n0\r\n\r\n`);
      expect((await peer.response()).status).toBe(status);
      expect(scene.upstream.uploads).toMatchObject(uploads);
      expect(await proxy.metric('spool_full_total{reason="per_upload"}')).toBe(1);
      await expect.poll(() => proxy.metric("spool_bytes")).toBe(0);
    },
  );

  it("with onFull: forward, a client that leaves in the rest leaves Glance an upload that never ends", async () => {
    const proxy = await scene.startAnother({
      size: { unknown: "spool" },
      spool: { ...spool, maxPerUpload: "1KiB" },
    });
    const peer = await scene.startUpload({}, FILE, proxy.port);
    peer.sendChunk(Buffer.alloc(800)).sendChunk(Buffer.alloc(800));
    await expect.poll(() => scene.upstream.uploads[0]?.bytes).toBe(1600);
    peer.destroy();
    await scene.upstream.uploads[0]?.over;
    expect(scene.upstream.uploads[0]).toMatchObject({ complete: false });
    await expect.poll(async () => (await proxy.uploads()).finished[0]?.outcome).toBe("client_aborted");
  });

  it("with onFull: reject, the client gets 413", async () => {
    const proxy = await scene.startAnother({
      size: { unknown: "spool" },
      spool: { ...spool, maxPerUpload: "100KiB", onFull: "reject" },
    });
    const peer = await scene.startUpload({}, FILE, proxy.port);
    peer.sendChunk(Buffer.alloc(200 * KIB));
    expect((await peer.response()).status).toBe(413);
    expect(scene.upstream.uploads).toEqual([]);
    await expect.poll(() => proxy.metric("spool_bytes")).toBe(0);
  });
});

describe("spool.maxTotal", () => {
  it("is never exceeded by 50 simultaneous uploads, and those without space get 507", async () => {
    const proxy = await scene.startAnother({
      size: { unknown: "spool" },
      spool: { ...spool, maxTotal: "1MiB", onFull: "reject" },
    });
    const peers = await Promise.all(
      Array.from({ length: 50 }, () => scene.startUpload({}, FILE, proxy.port)),
    );
    let most = 0;
    for (let round = 0; round < 4; round += 1) {
      for (const peer of peers) if (peer.ending === undefined) peer.sendChunk(Buffer.alloc(16 * KIB));
      most = Math.max(most, await proxy.metric("spool_bytes"));
    }
    for (const peer of peers) if (peer.ending === undefined) peer.endChunks();
    const statuses = await Promise.all(peers.map(async (peer) => (await peer.response()).status));
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(1024 * KIB);
    expect(new Set(statuses)).toEqual(new Set([204, 507]));
    expect(await proxy.metric('spool_full_total{reason="total"}')).toBe(
      statuses.filter((status) => status === 507).length,
    );
    for (const upload of scene.upstream.uploads)
      expect(upload).toMatchObject({ bytes: 64 * KIB, complete: true });
    await expect.poll(() => proxy.metric("spool_bytes")).toBe(0);
  });
});

describe("a disk that fails", () => {
  it("loses no data, and the log has the reason", async () => {
    const gone = await mkdtemp(join(tmpdir(), "spool-"));
    const proxy = await scene.startAnother({
      size: { unknown: "spool" },
      spool: { dir: gone, memory: "1KiB" },
    });
    await rm(gone, { recursive: true });
    const peer = await scene.startUpload({}, FILE, proxy.port);
    peer.sendChunk(Buffer.alloc(5000)).endChunks();
    expect((await peer.response()).status).toBe(204);
    expect(scene.upstream.uploads).toMatchObject([{ bytes: 5000, complete: true }]);
    const [warning] = proxy.logged.filter(({ msg }) => msg === "cannot write to spool.dir");
    expect(warning).toMatchObject({ level: "warn", imageId: "one" });
    expect(warning?.["reason"]).toContain("ENOENT");
  });

  it.runIf(process.platform === "linux")(
    "only when the file is closed takes nothing from the answer",
    async () => {
      scene.upstream.onUpload = (incoming, response) => {
        response.writeContinue();
        incoming.resume().once("end", () => {
          // All of it has been read by then: what fails is closing.
          void spoolDescriptor().then((descriptor) => {
            closeSync(descriptor);
            response.writeHead(204).end();
          });
        });
      };
      const peer = await scene.startUpload();
      peer.sendChunk(Buffer.alloc(300 * KIB)).endChunks();
      expect((await peer.response()).status).toBe(204);
      await expectNothingKept();
    },
  );
});

describe.runIf(process.platform === "linux")("a spooling process", () => {
  beforeAll(() => expect(readFile("dist/cli.js")).resolves.toBeDefined());

  it("leaves no file if it is killed during an upload", async () => {
    const command = await startCommand(scene.upstream.url, {
      GLANCE_SIZE_PROXY_SIZE__UNKNOWN: "spool",
      GLANCE_SIZE_PROXY_SPOOL__DIR: dir,
      GLANCE_SIZE_PROXY_SPOOL__MEMORY: "1KiB",
    });
    const peer = await connect(command.port);
    try {
      peer.sendHead("PUT", FILE, { "Transfer-Encoding": "chunked" }).sendChunk(Buffer.alloc(300 * KIB));
      await expect.poll(async () => (await openSpoolFiles(command.pid)).join()).toMatch(/ \(deleted\)$/);
      await command.stop();
      expect(await readdir(dir)).toEqual([]);
    } finally {
      peer.destroy();
      await command.stop();
    }
  });
});

describeWith(["tmpfs"], "a full disk", () => {
  let command: RunningCommand;
  afterEach(() => command.stop());

  /** With a disk of 1 MiB. */
  async function start(onFull: "forward" | "reject"): Promise<void> {
    const mount = `mount -t tmpfs -o size=1m none '${dir}' && exec "$@"`;
    command = await startCommand(
      scene.upstream.url,
      {
        GLANCE_SIZE_PROXY_SIZE__UNKNOWN: "spool",
        GLANCE_SIZE_PROXY_SPOOL__DIR: dir,
        GLANCE_SIZE_PROXY_SPOOL__MEMORY: "1KiB",
        GLANCE_SIZE_PROXY_SPOOL__ON_FULL: onFull,
      },
      ["/usr/bin/unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"],
    );
  }

  async function upload(bytes: number): Promise<{ status: number; whole: boolean }> {
    const body = patternedBytes(bytes);
    const seen: Buffer[] = [];
    scene.upstream.onUpload = (incoming, response) => {
      response.writeContinue();
      incoming.on("data", (piece: Buffer) => seen.push(piece));
      incoming.once("end", () => response.writeHead(204).end());
    };
    const peer = await scene.startUpload({}, FILE, command.port);
    for (let at = 0; at < bytes; at += 50_000) peer.sendChunk(body.subarray(at, at + 50_000));
    peer.endChunks();
    const { status } = await peer.response();
    return { status, whole: Buffer.concat(seen).equals(body) };
  }

  async function metrics(): Promise<string> {
    return (await request(command.adminPort, "GET", "/metrics")).text;
  }

  it("with onFull: forward, nothing of the body is lost, and its place is given back", async () => {
    await start("forward");
    expect(await upload(3_000_000)).toEqual({ status: 204, whole: true });
    expect(scene.upstream.uploads[0]?.headers).toMatchObject({ "transfer-encoding": "chunked" });
    expect(await metrics()).toContain('spool_full_total{reason="disk"} 1');
    expect(await upload(900_000)).toEqual({ status: 204, whole: true });
    expect(scene.upstream.uploads[1]?.headers).toMatchObject({ "content-length": "900000" });
    expect(await metrics()).toMatch(/spool_bytes 0$/m);
  });

  it("with onFull: reject, the client gets 507, Glance hears nothing, and the place is given back", async () => {
    await start("reject");
    expect(await upload(3_000_000)).toEqual({ status: 507, whole: false });
    expect(scene.upstream.uploads).toEqual([]);
    expect(await metrics()).toContain('spool_full_total{reason="disk"} 1');
    expect(await upload(900_000)).toEqual({ status: 204, whole: true });
    expect(await metrics()).toMatch(/spool_bytes 0$/m);
  });
});
