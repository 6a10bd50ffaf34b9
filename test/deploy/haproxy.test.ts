/** HAProxy, configured as we say, in front of two proxies in front of a Glance. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { UploadView } from "../../src/observe/uploads-registry.js";
import { type RunningCommand, startCommand } from "../support/cli.js";
import { freePort } from "../support/free-port.js";
import { createImage, OCTET_STREAM, putImageData, showImage, until } from "../support/glance-client.js";
import { connect, type Peer, request } from "../support/raw-http.js";
import type { Glance } from "../support/real-glance.js";
import { describeWith } from "../support/requirements.js";
import { run } from "../support/run.js";
import { startStandIn } from "../support/stand-in.js";

const CONFIG = "deploy/haproxy/haproxy.cfg";
const HAPROXY = "/usr/sbin/haproxy";

describeWith(["haproxy"], "HAProxy", () => {
  let folder: string;
  let glance: Glance;
  let replicas: RunningCommand[];
  let haproxy: ChildProcess;
  let port: number;
  let logged = "";

  beforeAll(async () => {
    execFileSync(process.execPath, ["scripts/prepare.mjs"], { stdio: "ignore" });
    folder = mkdtempSync(join(tmpdir(), "haproxy-"));
    glance = await startStandIn();
    replicas = await Promise.all([startCommand(glance.url), startCommand(glance.url)]);
    port = await freePort();
    // As it is, but for the addresses and the patience of this test.
    let text = readFileSync(CONFIG, "utf8")
      .replace("bind :9292", `bind 127.0.0.1:${port}`)
      .replace("inter 2s", "inter 500ms");
    for (const [index, name] of ["one", "two"].entries()) {
      const { port: listen, adminPort } = replicas[index] as RunningCommand;
      text = text.replace(
        new RegExp(`server ${name} 192\\.0\\.2\\.\\d+:9292`),
        `server ${name} 127.0.0.1:${listen} port ${adminPort}`,
      );
    }
    expect(text.match(/9292|192\.0\.2/g)).toBe(null);
    writeFileSync(join(folder, "haproxy.cfg"), text);
    haproxy = spawn(HAPROXY, ["-f", join(folder, "haproxy.cfg")], { stdio: ["ignore", "pipe", "ignore"] });
    haproxy.stdout?.on("data", (piece: Buffer) => (logged += piece.toString()));
    await until(
      () =>
        request(port, "GET", "/v2/images").then(
          ({ status }) => status,
          () => 0,
        ),
      (status) => status === 200,
    );
  });
  afterAll(async () => {
    haproxy.kill("SIGKILL");
    await Promise.all(replicas.map((replica) => replica.stop()));
    await glance.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** The uploads in flight in a replica. */
  async function inFlight(replica: RunningCommand): Promise<readonly UploadView[]> {
    const answer = await request(replica.adminPort, "GET", "/uploads");
    return (answer.json() as { inFlight: UploadView[] }).inFlight;
  }

  it("finds nothing wrong with the configuration", async () => {
    const result = await run(HAPROXY, ["-c", "-V", "-dW", "-f", CONFIG]);
    expect(result).toMatchObject({ code: 0, stdout: "Configuration file is valid\n", stderr: "" });
  });

  it("forwards an upload of the declared size", async () => {
    const id = await createImage(port);
    expect((await putImageData(port, id, "hello", { headers: { "x-openstack-image-size": 5 } })).status).toBe(
      204,
    );
    expect(await showImage(port, id)).toMatchObject({ status: "active", size: 5 });
  });

  it("lets a client that is still sending read the refusal, and the image is queued by then", async () => {
    const id = await createImage(port);
    const peer = await connect(port);
    peer.sendHead("PUT", `/v2/images/${id}/file`, {
      ...OCTET_STREAM,
      "Transfer-Encoding": "chunked",
      "x-openstack-image-size": 5,
    });
    peer.sendChunk("hello!");
    for (let piece = 0; piece < 20; piece += 1) peer.sendChunk(Buffer.alloc(64 * 1024));
    const { status, text } = await peer.response();
    expect([status, text]).toEqual([400, expect.stringContaining("Size exceeds: expected 5 bytes, got")]);
    expect(await showImage(port, id)).toMatchObject({ status: "queued", size: null });
    peer.destroy();
  });

  it("loses no upload while a replica drains: old uploads finish there, new ones go elsewhere", async () => {
    // Two in each, as a rule; then the one that is going to drain is the less busy, which HAProxy prefers.
    const uploads = new Map<string, Peer>();
    for (let count = 1; count <= 4; count += 1) {
      const id = await createImage(port);
      const peer = await connect(port);
      peer.sendHead("PUT", `/v2/images/${id}/file`, { ...OCTET_STREAM, "Transfer-Encoding": "chunked" });
      peer.sendChunk("hel");
      uploads.set(id, peer);
      await until(
        async () => (await Promise.all(replicas.map(inFlight))).flat().length,
        (total) => total === count,
      );
    }
    const finish = async (id: string): Promise<void> => {
      const peer = uploads.get(id);
      expect((await peer?.sendChunk("lo").endChunks().response())?.status).toBe(204);
      expect(await showImage(port, id)).toMatchObject({ status: "active", size: 5 });
      peer?.destroy();
      uploads.delete(id);
    };
    const loads = await Promise.all(
      replicas.map(async (replica) => ({ replica, views: await inFlight(replica) })),
    );
    const [less] = loads.sort((a, b) => a.views.length - b.views.length);
    const [last, ...others] = less?.views ?? [];
    if (!less || !last) throw new Error("HAProxy has sent all uploads to one replica");
    const draining = less.replica;
    for (const { imageId } of others) await finish(imageId);

    const exit = once(draining.child, "exit");
    draining.child.kill("SIGTERM");
    await until(
      () => request(draining.adminPort, "GET", "/readyz"),
      ({ status }) => status === 503,
    );
    for (let noticed = 0; noticed < 3; noticed += logged.includes(" is DOWN") ? 1 : 0) {
      expect((await putImageData(port, await createImage(port), "hello")).status).toBe(204);
    }
    expect(await inFlight(draining)).toHaveLength(1);
    await finish(last.imageId);
    expect(await exit).toEqual([0, null]);
    for (const id of uploads.keys()) await finish(id);
  });

  it("with no replica left, does not answer an upload in a way that Nova and Cinder retry", async () => {
    await Promise.all(replicas.map((replica) => replica.stop()));
    expect((await putImageData(port, "any", "hello")).status).toBe(502);
    expect((await request(port, "GET", "/v2/images")).status).toBe(503);
  });
});
