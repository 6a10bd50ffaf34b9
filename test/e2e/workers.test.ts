/** Several processes, one proxy: what is counted, shown and limited is the sum, and one that dies takes nothing with it. */
import { execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterEach, describe, expect, it } from "vitest";
import { sha256 } from "../support/bytes.js";
import { createAuthority } from "../support/certificates.js";
import { type RunningCommand, startCommand } from "../support/cli.js";
import { type Peer, request } from "../support/raw-http.js";
import { describeWith } from "../support/requirements.js";
import { FILE, readSlowly, SIZE, useScene } from "./scene.js";

const KIB = 1024;
const LABELS = 'operation="file",outcome="completed",size_source="header"';

const scene = useScene();
const running: RunningCommand[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((command) => command.stop()));
});

async function start(env: Record<string, string> = {}): Promise<RunningCommand> {
  const command = await startCommand(scene.upstream.url, { GLANCE_SIZE_PROXY_WORKERS: "2", ...env });
  running.push(command);
  return command;
}

function begin(command: RunningCommand, count: number, headers = {}): Promise<Peer[]> {
  return Promise.all(Array.from({ length: count }, () => scene.startUpload(headers, FILE, command.port)));
}

/** One after the other, so that connections go to the workers in turn. */
async function beginInTurn(command: RunningCommand, count: number, headers = {}): Promise<Peer[]> {
  const peers: Peer[] = [];
  while (peers.length < count) {
    peers.push(...(await begin(command, 1, headers)));
    await expect.poll(async () => (await command.uploads()).inFlight.length).toBe(peers.length);
  }
  return peers;
}

async function workersOf({ pid }: RunningCommand): Promise<number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8");
  return children.trim().split(" ").filter(Boolean).map(Number);
}

function logged(command: RunningCommand, message: string): Record<string, unknown>[] {
  return command.lines
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ msg }) => msg === message);
}

it("the uploads of all workers are counted and shown once, in one sum", async () => {
  const command = await start();
  const peers = await begin(command, 6, { [SIZE]: 5 });
  for (const peer of peers) peer.sendChunk("hel");
  await expect
    .poll(async () => (await command.uploads()).inFlight.map((one) => one.receivedBytes))
    .toEqual(Array(6).fill(3));
  expect(await command.metric('uploads_in_flight{operation="file"}')).toBe(6);
  await expect.poll(() => command.metric('uploads_waiting{for="client"}')).toBe(6);
  for (const peer of peers) peer.sendChunk("lo").endChunks();
  for (const peer of peers) expect((await peer.response()).status).toBe(204);
  expect(await command.metric(`uploads_total{${LABELS}}`)).toBe(6);
  expect(await command.metric('upload_received_bytes_total{operation="file"}')).toBe(30);
  expect(await command.metric('upload_duration_seconds_count{operation="file"}')).toBe(6);
  expect(await command.metric('uploads_in_flight{operation="file"}')).toBe(0);
  expect(await command.uploads()).toMatchObject({
    inFlight: [],
    finished: Array(6).fill({ outcome: "completed", receivedBytes: 5 }),
  });
  const { text } = await request(command.adminPort, "GET", "/metrics");
  expect(text.match(/^glance_size_proxy_build_info.* 1$/gm)).toHaveLength(1);
});

it("limits.maxConcurrentUploads holds for all of them together", async () => {
  const command = await start({ GLANCE_SIZE_PROXY_LIMITS__MAX_CONCURRENT_UPLOADS: "3" });
  const peers = await begin(command, 3, { [SIZE]: 5 });
  await expect.poll(() => scene.upstream.uploads.length).toBe(3);
  for (const refused of await begin(command, 4, { [SIZE]: 5 })) {
    const answer = await refused.response();
    expect(answer.status).toBe(429);
    expect(answer.headers["retry-after"]).toBe("10");
  }
  const [first] = peers;
  first?.sendChunk("hello").endChunks();
  expect((await first?.response())?.status).toBe(204);
  // The place is given back behind the answer's back.
  const next = async (): Promise<number | undefined> => {
    const [peer] = await begin(command, 1, { [SIZE]: 5 });
    peer?.sendChunk("hello").endChunks();
    return (await peer?.response())?.status;
  };
  await expect.poll(next).toBe(204);
});

describe("spool.maxTotal", () => {
  const env = {
    GLANCE_SIZE_PROXY_SIZE__UNKNOWN: "spool",
    GLANCE_SIZE_PROXY_SPOOL__DIR: tmpdir(),
    GLANCE_SIZE_PROXY_SPOOL__MEMORY: "16KiB",
    GLANCE_SIZE_PROXY_SPOOL__MAX_TOTAL: "1MiB",
    GLANCE_SIZE_PROXY_SPOOL__ON_FULL: "reject",
  };

  it("is never overrun by 50 uploads at once over all of them", async () => {
    const command = await start(env);
    const peers = await begin(command, 50);
    let most = 0;
    for (let round = 0; round < 4; round += 1) {
      for (const peer of peers) if (peer.ending === undefined) peer.sendChunk(Buffer.alloc(16 * KIB));
      most = Math.max(most, await command.metric("spool_bytes"));
    }
    for (const peer of peers) if (peer.ending === undefined) peer.endChunks();
    const statuses = await Promise.all(peers.map(async (peer) => (await peer.response()).status));
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(1024 * KIB);
    expect(new Set(statuses)).toEqual(new Set([204, 507]));
    for (const upload of scene.upstream.uploads)
      expect(upload).toMatchObject({ bytes: 64 * KIB, complete: true });
    await expect.poll(() => command.metric("spool_bytes")).toBe(0);
  });

  it("is reserved while a body arrives, and no byte is lost", async () => {
    const command = await start({ ...env, GLANCE_SIZE_PROXY_SPOOL__MAX_TOTAL: "64MiB" });
    const seen = readSlowly(scene.upstream);
    const body = randomBytes(12 * KIB * KIB + 1);
    const [peer] = await begin(command, 1);
    for (let at = 0; at < body.length; at += 10_000) peer?.sendChunk(body.subarray(at, at + 10_000));
    peer?.endChunks();
    expect((await peer?.response())?.status).toBe(204);
    expect(seen.digest()).toBe(sha256(body));
  });

  it("gets back what a dead worker had reserved", async () => {
    const command = await start(env);
    const [victim = 0] = await workersOf(command);
    const peers = await beginInTurn(command, 2);
    for (const peer of peers) peer.sendChunk(Buffer.alloc(500 * KIB));
    await expect.poll(() => command.metric("spool_bytes")).toBe(1000 * KIB);
    process.kill(victim, "SIGKILL");
    await expect.poll(() => command.metric("spool_bytes")).toBe(500 * KIB);
    const [another] = await begin(command, 1);
    another?.sendChunk(Buffer.alloc(500 * KIB)).endChunks();
    expect((await another?.response())?.status).toBe(204);
  });
});

describe("a worker that dies", () => {
  it("is replaced; its uploads count as upstream_error, those of the other go on, and no counter goes back", async () => {
    const command = await start();
    const done = await begin(command, 4, { [SIZE]: 5 });
    for (const peer of done) peer.sendChunk("hello").endChunks();
    for (const peer of done) expect((await peer.response()).status).toBe(204);
    await expect.poll(() => command.metric(`uploads_total{${LABELS}}`)).toBe(4);

    const peers = await beginInTurn(command, 6, { [SIZE]: 5 });
    for (const peer of peers) peer.sendChunk("hel");
    await expect
      .poll(async () => (await command.uploads()).inFlight.filter((one) => one.receivedBytes === 3).length)
      .toBe(6);
    const before = await workersOf(command);
    const [victim = 0, other = 0] = before;
    process.kill(victim, "SIGKILL");
    await expect.poll(async () => (await command.uploads()).inFlight.length).toBe(3);
    const died = 'operation="file",outcome="upstream_error",size_source="header"';
    expect(await command.metric(`uploads_total{${died}}`)).toBe(3);
    expect(await command.metric('uploads_in_flight{operation="file"}')).toBe(3);
    const { finished } = await command.uploads();
    expect(finished.slice(0, 3)).toMatchObject(
      Array(3).fill({ outcome: "upstream_error", receivedBytes: 3 }),
    );
    expect(logged(command, "upload")).toHaveLength(7);

    const statuses = await Promise.all(
      peers.map(async (peer) => {
        peer.sendChunk("lo").endChunks();
        return (await peer.response().catch(() => undefined))?.status;
      }),
    );
    expect(statuses.filter((status) => status === 204)).toHaveLength(3);
    expect(statuses.filter((status) => status === undefined)).toHaveLength(3);
    await expect.poll(() => command.metric(`uploads_total{${LABELS}}`)).toBe(7);
    for (const upload of scene.upstream.uploads) {
      await upload.over;
      expect(upload.complete).toBe(upload.bytes === 5);
    }

    await expect.poll(async () => (await workersOf(command)).length, { timeout: 10_000 }).toBe(2);
    const after = await workersOf(command);
    expect(after).toContain(other);
    expect(after).not.toContain(victim);
    const again = await begin(command, 4, { [SIZE]: 5 });
    for (const peer of again) peer.sendChunk("hello").endChunks();
    for (const peer of again) expect((await peer.response()).status).toBe(204);
    await expect.poll(() => command.metric(`uploads_total{${LABELS}}`)).toBe(11);
  });

  it("frees its places in limits.maxConcurrentUploads", async () => {
    const command = await start({ GLANCE_SIZE_PROXY_LIMITS__MAX_CONCURRENT_UPLOADS: "4" });
    await beginInTurn(command, 4, { [SIZE]: 5 });
    process.kill((await workersOf(command))[0] ?? 0, "SIGKILL");
    await expect.poll(() => logged(command, "a worker died and is replaced")).toHaveLength(1);
    expect((await command.uploads()).inFlight).toHaveLength(2);
    const more = await begin(command, 3, { [SIZE]: 5 });
    for (const peer of more) peer.sendChunk("hello").endChunks();
    const statuses = await Promise.all(more.map(async (peer) => (await peer.response()).status));
    expect(statuses.sort()).toEqual([204, 204, 429]);
  });
});

describe("a worker that cannot be replaced", () => {
  it("because of a missing file is retried, and without a worker the proxy is not ready", async () => {
    const dir = await mkdtemp(join(tmpdir(), "workers-"));
    const command = await start({
      GLANCE_SIZE_PROXY_SIZE__UNKNOWN: "spool",
      GLANCE_SIZE_PROXY_SPOOL__DIR: dir,
    });
    const ready = async () => (await request(command.adminPort, "GET", "/readyz")).text;
    expect(await ready()).toContain('"ready"');
    await rm(dir, { recursive: true });
    for (const worker of await workersOf(command)) process.kill(worker, "SIGKILL");
    await expect
      .poll(() => logged(command, "a worker cannot start, retrying"))
      .toContainEqual(expect.objectContaining({ reason: expect.stringContaining("spool.dir") as string }));
    expect(await ready()).toContain('"not_listening"');
    await mkdir(dir);
    try {
      await expect.poll(ready).toContain('"ready"');
      await expect.poll(async () => (await workersOf(command)).length).toBe(2);
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  describeWith(["prlimit"], "because descriptors run out", () => {
    it("affects nothing else, and is replaced later", async () => {
      const command = await start();
      const [victim = 0, other = 0] = await workersOf(command);
      const open = (await readdir(`/proc/${command.pid}/fd`)).length;
      const limit = (descriptors: number) =>
        execFileSync("prlimit", ["--pid", String(command.pid), `--nofile=${descriptors}:`]);
      limit(open - 1);
      process.kill(victim, "SIGKILL");
      await expect
        .poll(() => logged(command, "a worker cannot start, retrying"))
        .toContainEqual(expect.objectContaining({ reason: expect.stringContaining("EMFILE") as string }));
      limit(1000);
      await expect.poll(async () => (await workersOf(command)).length).toBe(2);
      expect(await workersOf(command)).toContain(other);
    });
  });

  it("because the proxy is draining does not keep it from ending", async () => {
    const command = await start();
    const before = await workersOf(command);
    process.kill(before[0] ?? 0, "SIGKILL");
    const isNew = (pid: number): boolean => !before.includes(pid);
    await expect.poll(async () => (await workersOf(command)).some(isNew), { interval: 2 }).toBe(true);
    const exited = once(command.child, "exit");
    command.child.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
  });
});

it("a hanging worker does not keep the proxy from exiting after shutdown.drainTimeout", async () => {
  const command = await start({
    GLANCE_SIZE_PROXY_SHUTDOWN__DRAIN_TIMEOUT: "100ms",
    GLANCE_SIZE_PROXY_ROLLBACK__TIMEOUT: "100ms",
  });
  process.kill((await workersOf(command))[0] ?? 0, "SIGSTOP");
  const exited = once(command.child, "exit");
  command.child.kill("SIGTERM");
  expect(await exited).toEqual([0, null]);
});

it("the workers end with the process above them, and what they carried is never completed", async () => {
  const command = await start();
  const [peer] = await begin(command, 1, { [SIZE]: 5 });
  peer?.sendChunk("hell");
  const upload = await scene.uploadUpstream();
  const workers = await workersOf(command);
  await command.stop();
  await upload.over;
  expect(upload.complete).toBe(false);
  await expect.poll(() => workers.filter(isRunning)).toEqual([]);
});

it("an upload that returns to any worker is a loop", async () => {
  const command = await start();
  const get = (headers: Record<string, string>) => request(command.port, "GET", "/v2/images", { headers });
  await get({});
  const via = scene.upstream.requests[0]?.headers.via ?? "";
  for (let count = 0; count < 4; count += 1) expect((await get({ Via: via })).status).toBe(508);
});

it("a port in use ends the command with 2 and one line", async () => {
  const command = await start();
  const address = `127.0.0.1:${command.port}`;
  const child = spawn(
    process.execPath,
    ["dist/cli.js", "--upstream", scene.upstream.url, "--listen", address, "--admin-listen", "127.0.0.1:0"],
    { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, GLANCE_SIZE_PROXY_WORKERS: "2" } },
  );
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  expect(await once(child, "exit")).toEqual([2, null]);
  expect(errors).toMatch(/^listen\.address: cannot listen on 127\.0\.0\.1:\d+: the port is in use.*\n$/);
});

describeWith(["openssl"], "SIGHUP", () => {
  it("makes all workers read the certificate again", async () => {
    const authority = await createAuthority();
    const directory = await mkdtemp(join(tmpdir(), "workers-"));
    try {
      const install = async (name: string): Promise<void> => {
        const { certFile, keyFile } = await authority.issue(name);
        await copyFile(keyFile, join(directory, "key.pem"));
        await copyFile(certFile, join(directory, "cert.pem"));
      };
      await install("old.test");
      const command = await start({
        GLANCE_SIZE_PROXY_LISTEN__TLS__CERT_FILE: join(directory, "cert.pem"),
        GLANCE_SIZE_PROXY_LISTEN__TLS__KEY_FILE: join(directory, "key.pem"),
      });
      const seen = async (): Promise<string> => {
        const socket = connectTls({ port: command.port, host: "127.0.0.1", rejectUnauthorized: false });
        await once(socket, "secureConnect");
        const { CN } = socket.getPeerCertificate().subject;
        socket.destroy();
        return String(CN);
      };
      const four = async () => [await seen(), await seen(), await seen(), await seen()];
      expect(await four()).toEqual(Array(4).fill("old.test"));
      await install("new.test");
      command.child.kill("SIGHUP");
      await expect.poll(four).toEqual(Array(4).fill("new.test"));
    } finally {
      await authority.remove();
      await rm(directory, { recursive: true, force: true });
    }
  });
});

/** Whoever has nobody to wait for it stays as a zombie: gone all the same. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
