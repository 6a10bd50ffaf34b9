/** A new configuration while uploads are in flight, in front of a real Glance: SIGHUP, and SIGUSR2 for a new program. */
import { once } from "node:events";
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { Agent, get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { stringify } from "yaml";
import { createAuthority } from "../support/certificates.js";
import { type RunningCommand, startCommand } from "../support/cli.js";
import { freePort } from "../support/free-port.js";
import { createImage, putImageData, showImage, untilStatus } from "../support/glance-client.js";
import { borrowGlance } from "../support/lent-glances.js";
import { isProvided } from "../support/provided.js";
import { connect, Peer, request } from "../support/raw-http.js";
import type { RealGlance } from "../support/real-glance.js";
import { describeWith } from "../support/requirements.js";
import { CHUNKED, SIZE } from "./scene.js";

/** `RELOAD_ROUNDS` makes more. */
const ROUNDS = Number(process.env["RELOAD_ROUNDS"] ?? 4);

let glance: RealGlance;
let directory: string;
const cleanUp: (() => unknown)[] = [];
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "reload-"));
  if (isProvided("glance-api")) glance = await borrowGlance("eventlet");
});
afterEach(async () => {
  for (const end of cleanUp.splice(0).reverse()) await end();
});
afterAll(async () => {
  await (glance as RealGlance | undefined)?.stop();
  await rm(directory, { recursive: true, force: true });
});

type Keys = Record<string, unknown>;

interface Configured extends RunningCommand {
  readonly file: string;
  /** Writes the file and sends SIGHUP, without waiting. */
  hup(keys: Keys): Promise<void>;
  /** Resolves with the log line of the next reload. */
  reload(keys: Keys): Promise<Record<string, unknown>>;
  logged(message: string): Record<string, unknown>[];
}

async function start(keys: Keys, args: readonly string[] = []): Promise<Configured> {
  const file = join(directory, `${cleanUp.length}-${await freePort()}.yaml`);
  const write = (next: Keys) => writeFile(file, stringify(next));
  await write(keys);
  const command = await startCommand(glance.url, {}, [], ["--config", file, ...args]);
  cleanUp.push(() => command.stop());
  const parsed = () => command.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  const logged = (message: string) => parsed().filter(({ msg }) => msg === message);
  const reloads = () => parsed().filter(({ msg }) => /configuration/.test(String(msg)));
  const hup = async (next: Keys): Promise<void> => {
    await write(next);
    command.child.kill("SIGHUP");
  };
  return {
    ...command,
    file,
    logged,
    hup,
    async reload(next) {
      const before = reloads().length;
      await hup(next);
      await expect.poll(() => reloads().length, { interval: 10 }).toBe(before + 1);
      return reloads()[before] ?? {};
    },
  };
}

interface Running {
  readonly id: string;
  readonly peer: Peer;
  finish(): Promise<void>;
}

/** Begins an upload of ten bytes, and sends one half of it. */
async function begin(
  port: number,
  framing: "declared" | "header" | "chunked",
  socket?: Peer,
): Promise<Running> {
  const id = await createImage(glance.port);
  const peer = socket ?? (await connect(port));
  cleanUp.push(() => peer.destroy());
  const target = `/v2/images/${id}/file`;
  const type = { "Content-Type": "application/octet-stream" };
  if (framing === "declared") {
    peer.sendHead("PUT", target, { ...type, "Content-Length": 10 }).send("hello");
  } else {
    const size = framing === "header" ? { [SIZE]: 10 } : {};
    peer.sendHead("PUT", target, { ...type, ...CHUNKED, ...size }).sendChunk("hello");
  }
  await untilStatus(glance.port, id, "saving");
  return {
    id,
    peer,
    async finish() {
      if (framing === "declared") peer.send("world");
      else peer.sendChunk("world").endChunks();
      const answer = await peer.response();
      expect(answer.status, answer.text).toBe(204);
      expect(await showImage(glance.port, id)).toMatchObject({ status: "active", size: 10 });
    },
  };
}

/** Small requests, one after the other, by clients that keep connections and by clients that open one each time. */
function ask(port: number): { stop(): Promise<number> } {
  let isStopped = false;
  let answered = 0;
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const once = (options: object): Promise<void> =>
    new Promise((resolve, reject) => {
      get({ port, host: "127.0.0.1", path: "/versions", ...options }, (response) => {
        response.resume().once("error", reject).once("end", resolve);
        if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`));
      }).once("error", reject);
    });
  const loop = async (options: object): Promise<void> => {
    while (!isStopped) {
      await once(options);
      answered += 1;
    }
  };
  const loops = Promise.all([loop({ agent }), loop({ agent: false }), loop({ agent: false })]);
  loops.catch(() => undefined);
  return {
    async stop() {
      isStopped = true;
      await loops;
      agent.destroy();
      return answered;
    },
  };
}

/** Ends a process that may have ended already. */
function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

async function children(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.trim().split(" ").filter(Boolean).map(Number);
}

/** For one worker, and for two. */
function describeReloads(name: string, suite: (workers: number) => void): void {
  for (const workers of [1, 2]) {
    describeWith(["glance-api"], `with workers: ${workers}, ${name}`, () => {
      suite(workers);
    });
  }
}

describeReloads("SIGHUP", (workers) => {
  it.each(["raw", "stream"])("again and again cuts nothing, with upload.relay: %s", async (relay) => {
    const keys = (limit: string): Keys => ({
      workers,
      upload: { relay },
      limits: { maxImageSize: limit },
      log: { level: "info" },
    });
    const proxy = await start(keys("1GiB"));
    const clients = ask(proxy.port);
    const uploads = [
      await begin(proxy.port, "declared"),
      await begin(proxy.port, "header"),
      await begin(proxy.port, "chunked"),
    ];
    const rounds = workers === 1 ? ROUNDS : Math.ceil(ROUNDS / 5); // new workers take CPU time
    for (let round = 1; round <= rounds; round += 1) {
      expect(await proxy.reload(keys(`${round + 1}GiB`))).toMatchObject({
        msg: "configuration reloaded",
        changed: [`limits.maxImageSize: "${round}GiB" -> "${round + 1}GiB"`],
      });
    }
    expect((await proxy.uploads()).inFlight).toHaveLength(3);
    expect(await proxy.metric('uploads_in_flight{operation="file"}')).toBe(3);
    for (const upload of uploads) await upload.finish();
    expect(await clients.stop()).toBeGreaterThan(rounds);
    expect(await proxy.metric('config_reloads_total{result="success"}')).toBe(rounds);
    expect(await proxy.metric('config_reloads_total{result="failure"}')).toBe(0);
    const completed = async (): Promise<number> => {
      const labels = ["content_length", "header", "unknown"].map(
        (source) => `uploads_total{operation="file",outcome="completed",size_source="${source}"}`,
      );
      return (await Promise.all(labels.map((label) => proxy.metric(label)))).reduce((a, b) => a + b);
    };
    await expect.poll(completed).toBe(3);
    if (workers > 1) await expect.poll(async () => (await children(proxy.pid)).length).toBe(workers);
  });

  it("changes a limit for the next upload, and not for the one in flight", async () => {
    const keys = (maxImageSize: string | number): Keys => ({ workers, limits: { maxImageSize } });
    const proxy = await start(keys(0));
    const upload = await begin(proxy.port, "chunked");
    const hash = await proxy.metric("config_hash");
    const since = await proxy.metric("config_last_reload_success_timestamp_seconds");
    await proxy.reload(keys("7B"));
    expect(await proxy.metric("config_hash")).not.toBe(hash);
    expect(await proxy.metric("config_last_reload_success_timestamp_seconds")).toBeGreaterThan(since);
    const refused = await createImage(glance.port);
    expect((await putImageData(proxy.port, refused, "hello world")).status).toBe(413);
    await upload.finish();
  });

  it("counts uploads in flight in a new limits.maxConcurrentUploads", async () => {
    const keys = (maxConcurrentUploads: number): Keys => ({ workers, limits: { maxConcurrentUploads } });
    const proxy = await start(keys(0));
    const uploads = [await begin(proxy.port, "header"), await begin(proxy.port, "header")];
    await proxy.reload(keys(2));
    const id = await createImage(glance.port);
    expect((await putImageData(proxy.port, id, "hello")).status).toBe(429);
    for (const upload of uploads) await upload.finish();
    await expect.poll(async () => (await putImageData(proxy.port, id, "hello")).status).toBe(204);
  });

  it("with a fault keeps the old configuration as a whole, and says what is wrong", async () => {
    const proxy = await start({ workers, limits: { maxImageSize: "7B" } });
    const hash = await proxy.metric("config_hash");
    expect(await proxy.reload({ workers, limits: { maxImageSize: 0, idleTimeout: "soon" } })).toMatchObject({
      level: "error",
      msg: "cannot use the new configuration, keeping the old one",
      faults: [expect.stringMatching(/^limits\.idleTimeout: "soon" \(.*\.yaml\): must be 0, or a time/)],
    });
    const spool = { dir: join(directory, "missing") };
    expect(await proxy.reload({ workers, size: { unknown: "spool" }, spool })).toMatchObject({
      faults: [expect.stringMatching(/^spool\.dir: ".*missing": cannot be written to/)],
    });
    await rm(proxy.file);
    proxy.child.kill("SIGHUP");
    await expect
      .poll(() => proxy.logged("cannot use the new configuration, keeping the old one").at(-1))
      .toMatchObject({
        faults: expect.arrayContaining([expect.stringMatching(/^config: .*ENOENT/)]) as unknown,
      });
    expect(await proxy.metric('config_reloads_total{result="failure"}')).toBe(3);
    expect(await proxy.metric("config_hash")).toBe(hash);
    const id = await createImage(glance.port);
    expect((await putImageData(proxy.port, id, "hello world")).status).toBe(413);
  });

  it("takes over listen.pathPrefix, and the number of workers if there are several", async () => {
    const proxy = await start({ workers });
    const { changed } = await proxy.reload({ workers: 3, listen: { pathPrefix: "/new" } });
    expect((await request(proxy.port, "GET", "/new/versions")).status).toBe(200);
    const prefix = 'listen.pathPrefix: "" -> "/new"';
    const warnings = proxy.logged("some keys cannot change while running");
    if (workers === 1) {
      expect(changed).toEqual([prefix]);
      const remedy = "restart the proxy, or send SIGUSR2 to replace it without a gap";
      expect(warnings).toMatchObject([{ level: "warn", keys: ["workers: 1 -> 3"], remedy }]);
    } else {
      expect(changed).toEqual([prefix, "workers: 2 -> 3"]);
      expect(warnings).toEqual([]);
      await expect.poll(async () => (await children(proxy.pid)).length).toBe(3);
    }
  });

  it("applies limits.maxHeaderSize to new connections", async () => {
    const keys = (maxHeaderSize: string): Keys => ({ workers, limits: { maxHeaderSize } });
    const proxy = await start(keys("64KiB"));
    const status = async (): Promise<number> =>
      (await request(proxy.port, "GET", "/versions", { headers: { Filler: "x".repeat(6_000) } })).status;
    expect(await status()).toBe(200);
    await proxy.reload(keys("4KiB"));
    expect(await status()).toBe(431);
    await proxy.reload(keys("16KiB"));
    expect(await status()).toBe(200);
  });

  it("many times at once is one after the other, and the last configuration wins", async () => {
    const proxy = await start({ workers });
    for (let size = 1; size <= 20; size += 1)
      await proxy.hup({ workers, limits: { maxImageSize: `${size}B` } });
    const id = await createImage(glance.port);
    const refused = async () => (await putImageData(proxy.port, id, "x".repeat(21))).text;
    await expect.poll(refused).toContain("20 bytes");
    const reloads = proxy.logged("configuration reloaded");
    expect(reloads.length).toBeLessThanOrEqual(20);
    if (workers > 1) await expect.poll(async () => (await children(proxy.pid)).length).toBe(workers);
  });
});

describeWith(["glance-api"], "several times while uploads are in flight, SIGHUP", () => {
  it("with sixteen retired workers that have uploads, each reload has applied at once, and the next one waits", async () => {
    // A slow machine takes longer for sixteen reloads than an upload may usually pause.
    const keys = (workers: number, maxImageSize: string): Keys => ({
      workers,
      limits: { maxImageSize, idleTimeout: "1h" },
    });
    const proxy = await start(keys(2, "1MiB"));
    const uploads: Running[] = [];
    for (let round = 1; round <= 16; round += 1) {
      uploads.push(await begin(proxy.port, "header"));
      await proxy.reload(keys(1, `${round}GiB`));
    }
    // The first configuration had an idle worker, too.
    await expect.poll(() => proxy.metric("config_retired_workers")).toBe(16);
    await proxy.hup(keys(1, "7B"));
    const waits =
      "the reload waits until retired workers end: new connections still get the old configuration";
    await expect
      .poll(() => proxy.logged(waits))
      .toMatchObject([{ level: "warn", retiredWorkers: 16, uploads: 16, limit: 16 }]);
    expect(proxy.logged("configuration reloaded")).toHaveLength(16);
    expect((await proxy.uploads()).inFlight).toHaveLength(16);
    await uploads.pop()?.finish();
    await expect.poll(() => proxy.logged("configuration reloaded")).toHaveLength(17);
    const id = await createImage(glance.port);
    expect((await putImageData(proxy.port, id, "hello world")).status).toBe(413);
    for (const upload of uploads) await upload.finish();
    await expect.poll(() => proxy.metric("config_retired_workers")).toBe(0);
  }, 600_000);
});

describeWith(["glance-api", "openssl"], "over TLS, SIGHUP", () => {
  it.each([1, 2])(
    "with workers: %i shows a new certificate, and an upload in flight goes on",
    async (workers) => {
      const authority = await createAuthority();
      cleanUp.push(() => authority.remove());
      const tls = { certFile: join(directory, "live.crt"), keyFile: join(directory, "live.key") };
      const install = async (name: string): Promise<void> => {
        const { certFile, keyFile } = await authority.issue(name);
        await copyFile(keyFile, tls.keyFile);
        await copyFile(certFile, tls.certFile);
      };
      await install("old.test");
      const keys = (more: Keys): Keys => ({ workers, listen: { tls }, ...more });
      const proxy = await start(keys({}));
      const secure = async (): Promise<Peer> => {
        const socket = connectTls({ port: proxy.port, host: "127.0.0.1", rejectUnauthorized: false });
        cleanUp.push(() => socket.destroy());
        await once(socket, "secureConnect");
        return new Peer(socket);
      };
      const name = async (): Promise<unknown> =>
        ((await secure()).socket as TLSSocket).getPeerCertificate().subject.CN;
      const uploads = [
        await begin(proxy.port, "declared", await secure()),
        await begin(proxy.port, "chunked", await secure()),
      ];
      expect(await name()).toBe("old.test");
      await install("new.test");
      await proxy.reload(keys({}));
      expect([await name(), await name()]).toEqual(["new.test", "new.test"]);
      await writeFile(tls.certFile, "rubbish");
      expect(await proxy.reload(keys({ log: { level: "debug" } }))).toMatchObject({
        level: "error",
        faults: [expect.stringMatching(/^listen\.tls\.certFile: .*contains no certificate/)],
      });
      expect([await name(), await name()]).toEqual(["new.test", "new.test"]);
      for (const upload of uploads) await upload.finish();
    },
  );
});

describeReloads("SIGUSR2", (workers) => {
  const FINISHES = "upgrade: the new program listens, and this process finishes";

  /** @returns the process id of the new program. */
  async function upgrade(proxy: Configured, pid: number): Promise<number> {
    const before = proxy.logged(FINISHES).length;
    process.kill(pid, "SIGUSR2");
    await expect.poll(() => proxy.logged(FINISHES).length, { interval: 10 }).toBe(before + 1);
    const successor = Number(proxy.logged(FINISHES)[before]?.["successor"]);
    cleanUp.push(() => kill(successor));
    return successor;
  }

  it("starts the new program, which accepts connections while the old one finishes: none is refused", async () => {
    const pidFile = join(directory, "proxy.pid");
    const proxy = await start({ workers, limits: { maxImageSize: "7B" } }, ["--pid-file", pidFile]);
    expect(await readFile(pidFile, "utf8")).toBe(`${proxy.pid}\n`);
    const exit = once(proxy.child, "exit");
    await proxy.reload({ workers, limits: { maxImageSize: 0 } });
    const uploads = [await begin(proxy.port, "declared"), await begin(proxy.port, "chunked")];
    const clients = ask(proxy.port);
    const next = await upgrade(proxy, proxy.pid);
    expect(await readFile(pidFile, "utf8")).toBe(`${next}\n`);
    const id = await createImage(glance.port);
    expect((await putImageData(proxy.port, id, "hello world")).status).toBe(204);
    for (const upload of uploads) await upload.finish();
    expect(await exit).toEqual([0, null]);
    // The new program has inherited its sockets. It can be replaced, too, and can reload.
    const last = await upgrade(proxy, next);
    const upload = await begin(proxy.port, "header");
    await writeFile(proxy.file, stringify({ workers, limits: { maxImageSize: "9B" } }));
    process.kill(last, "SIGHUP");
    const refused = async () => (await putImageData(proxy.port, id, "hello world")).status;
    await expect.poll(refused).toBe(413);
    await upload.finish();
    expect(await clients.stop()).toBeGreaterThan(10);
    // A new worker may take a request before all of them listen, and the reload counts when all do.
    await expect.poll(() => proxy.metric('config_reloads_total{result="success"}')).toBe(1);
  });

  it("goes on with the old program if the new one does not start", async () => {
    const proxy = await start({ workers });
    const upload = await begin(proxy.port, "declared");
    await writeFile(proxy.file, "nonsense: 1");
    proxy.child.kill("SIGUSR2");
    const failed = "no upgrade: the new program does not listen, and this process goes on";
    await expect
      .poll(() => proxy.logged(failed))
      .toMatchObject([{ reason: "it ended with 2 before it listened" }]);
    await upload.finish();
    expect((await request(proxy.port, "GET", "/versions")).status).toBe(200);
    await writeFile(proxy.file, stringify({ workers }));
    await upgrade(proxy, proxy.pid);
  });
});
