/** With a real Keystone: tokens that are lost before an upload, and in its middle. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ImageView, OCTET_STREAM, postJson, until } from "../support/glance-client.js";
import { type Keystone, KEYSTONE_REQUIREMENTS, startKeystone } from "../support/keystone.js";
import { startProxy, type TestProxy } from "../support/proxy.js";
import { connect, type Peer, request } from "../support/raw-http.js";
import { type RealGlance, startRealGlance } from "../support/real-glance.js";
import { describeWith } from "../support/requirements.js";
import { run } from "../support/run.js";

/** Long enough for an upload to begin, even if the machine is busy. */
const LIFETIME_S = 8;
const ROLLBACK_S = 2;
const requirements = [...KEYSTONE_REQUIREMENTS, "glance", "openstack"] as const;

describeWith(requirements, "Clients that log in", () => {
  let keystone: Keystone;
  let glance: RealGlance;
  let proxy: TestProxy;
  let directory: string;

  beforeAll(async () => {
    keystone = await startKeystone();
    glance = await startRealGlance({ server: "eventlet", authtoken: keystone.authtoken });
    proxy = await startProxy(glance.url, { log: { owner: true } });
    directory = await mkdtemp(join(tmpdir(), "keystone-clients-"));
    await keystone.addGlance("direct", glance.url);
    await keystone.addGlance("proxied", proxy.url);
  });
  afterAll(async () => {
    (proxy as TestProxy | undefined)?.stop();
    await (glance as RealGlance | undefined)?.stop();
    await (keystone as Keystone | undefined)?.stop();
    await rm(directory, { recursive: true, force: true });
  });

  async function createImage(token: string): Promise<string> {
    const image = { name: "expired", disk_format: "raw", container_format: "bare" };
    const answer = await postJson(glance.port, "/v2/images", image, { "X-Auth-Token": token });
    expect(answer.status).toBe(201);
    return (answer.json() as ImageView).id;
  }

  async function show(id: string, token: string): Promise<ImageView> {
    const headers = { "X-Auth-Token": token };
    const answer = await request(glance.port, "GET", `/v2/images/${id}`, { headers });
    expect(answer.status).toBe(200);
    return answer.json() as ImageView;
  }

  interface Uploaded {
    readonly id: string;
    readonly error: string | null;
  }

  async function uploadAfterRevocation(client: string): Promise<[direct: Uploaded, proxied: Uploaded]> {
    const file = join(directory, "image.raw");
    await writeFile(file, Buffer.alloc(200_000, "x"));
    const { name: user, ...rest } = keystone.user;
    const given = { url: keystone.url, user, ...rest, client, file, regions: ["direct", "proxied"] };
    const script = "test/clients/upload-after-revocation.py";
    const { code, stdout, stderr } = await run("/usr/bin/python3", [script, JSON.stringify(given)]);
    expect(code, stderr).toBe(0);
    const [direct, proxied] = stdout.split("\n");
    return [JSON.parse(direct ?? "") as Uploaded, JSON.parse(proxied ?? "") as Uploaded];
  }

  describe("that lose their token before they upload", () => {
    it.each(["glanceclient", "openstacksdk, a file", "openstacksdk, a pipe"])(
      "make an empty image directly at Glance, and none through the proxy: %s",
      async (client) => {
        const [direct, proxied] = await uploadAfterRevocation(client);
        const token = await keystone.login();
        expect(await show(direct.id, token)).toMatchObject({ status: "active", size: 0 });
        expect(direct.error).toBeNull();
        expect(await show(proxied.id, token)).toMatchObject({ status: "queued", size: null });
        expect(proxied.error).toContain("400");
      },
    );
  });

  describe("whose token expires while they upload", () => {
    // Begun together, so that the token's lifetime is waited for once.
    const [TOO_MUCH, LEAVES] = [0, 1];
    const uploads: { readonly id: string; readonly peer: Peer; readonly proxy: TestProxy }[] = [];

    beforeAll(async () => {
      const admin = await keystone.login();
      const begin = async (token: string) => {
        const proxy = await startProxy(glance.url, { rollback: { timeout: `${ROLLBACK_S}s` } });
        const id = await createImage(admin);
        const peer = await connect(proxy.port);
        uploads.push({ id, peer, proxy });
        peer.sendHead("PUT", `/v2/images/${id}/file`, {
          ...OCTET_STREAM,
          "X-Auth-Token": token,
          "Transfer-Encoding": "chunked",
          "x-openstack-image-size": 10,
        });
        peer.sendChunk("hello");
        await until(
          () => show(id, admin),
          ({ status }) => status === "saving",
        );
      };
      const token = await keystone.login(LIFETIME_S);
      await Promise.all([begin(token), begin(token)]);
      await until(
        () => keystone.accepts(token),
        (isAccepted) => !isAccepted,
      );
    });
    afterAll(() => {
      for (const { peer, proxy } of uploads) {
        peer.destroy();
        proxy.stop();
      }
    });

    /** All of the time, as nothing could tell the proxy that it may end its wait; and it does not say that all is well. */
    async function expectWaited({ id, proxy }: (typeof uploads)[number], outcome: string): Promise<void> {
      const logged = (text: string) =>
        proxy.logged.find(({ imageId, msg }) => imageId === id && msg === text);
      await expect.poll(() => logged("upload")).toMatchObject({ outcome, rollback: "unknown" });
      expect(logged("image not rolled back")).toMatchObject({ rollback: "unknown" });
      expect(await proxy.metric('rollbacks_total{result="unknown"}')).toBe(1);
      expect(await proxy.metric("rollback_duration_seconds_sum")).toBeGreaterThanOrEqual(ROLLBACK_S);
      expect(await show(id, await keystone.login())).toMatchObject({ status: "queued" });
    }

    it("learn after the whole wait that the image could not be checked, if they send too much", async () => {
      const upload = uploads[TOO_MUCH]!;
      upload.peer.sendChunk("hello!").endChunks();
      const answer = await upload.peer.response();
      expect(answer.status).toBe(400);
      expect(answer.text).toContain("Size exceeds: expected 10 bytes, got 11 bytes");
      expect(answer.text).toContain(`The proxy could not check whether image ${upload.id} is queued again`);
      await expectWaited(upload, "size_exceeded");
    });

    it("cause the same wait, and a log line that the image could not be checked, if they disconnect", async () => {
      const upload = uploads[LEAVES]!;
      upload.peer.destroy();
      await expectWaited(upload, "client_aborted");
    });
  });

  describe("whose project has a quota", () => {
    const MIB = 2 ** 20;
    let limited: RealGlance;
    let checking: TestProxy;
    let token: string;
    beforeAll(async () => {
      const defaults = await keystone.addLimits({
        image_size_total: 3,
        image_stage_total: 1,
        image_count_total: 100,
        image_count_uploading: 100,
      });
      limited = await startRealGlance({ server: "eventlet", authtoken: keystone.authtoken, defaults });
      checking = await startProxy(limited.url, { quota: { precheck: "auto", timeout: "60s" } });
      token = await keystone.login();
    });
    afterAll(async () => {
      (checking as TestProxy | undefined)?.stop();
      await (limited as RealGlance | undefined)?.stop();
    });

    async function createQueued(): Promise<ImageView> {
      const image = { name: "limited", disk_format: "raw", container_format: "bare" };
      const answer = await postJson(limited.port, "/v2/images", image, { "X-Auth-Token": token });
      expect(answer.status, await limited.log()).toBe(201);
      return answer.json() as ImageView;
    }

    const put = (port: number, path: string, bytes: number, headers = {}) =>
      request(port, "PUT", path, {
        headers: { ...OCTET_STREAM, "X-Auth-Token": token, ...headers },
        body: Buffer.alloc(bytes),
      });

    it("get the answer of a Glance that knows the size before they send data that cannot fit", async () => {
      const { id, owner } = await createQueued();
      const peer = await connect(checking.port);
      const size = 5 * MIB;
      peer.sendHead("PUT", `/v2/images/${id}/file`, {
        ...{ ...OCTET_STREAM, "X-Auth-Token": token, Accept: "text/plain" },
        ...{ "Content-Length": size, Expect: "100-continue" },
      });
      const answer = await peer.response();
      expect(answer.status).toBe(413);
      // In the words of Glance itself, once the project is over its limit: see below.
      const words = (usage: string, delta: number): RegExp =>
        new RegExp(
          "\\n\\nThe request returned a 413 Request Entity Too Large\\. This generally means that rate limiting or a quota " +
            `threshold was breached\\. {2}The response body: Project ${String(owner)} is over a limit for \\[Resource ` +
            `image_size_total is over limit of 3 due to current usage ${usage} and delta ${delta}\\]\\n\\n {3}$`,
        );
      expect(answer.text).toMatch(words("\\d+", 5));
      expect(peer.interims).toEqual([]);
      const seen = (await limited.executed()).filter(({ path }) => path.includes(id));
      expect(seen.map(({ method }) => method)).toEqual(["GET"]);
      peer.destroy();
      // This release lets a project exceed its limit once.
      expect((await put(limited.port, `/v2/images/${id}/file`, size)).status).toBe(204);
      const next = await createQueued();
      const over = await put(limited.port, `/v2/images/${next.id}/file`, 1, { Accept: "text/plain" });
      expect(over.status).toBe(413);
      expect(over.text).toMatch(words("\\d+", 0));
    });

    it("have another quota for staged data", async () => {
      const { id } = await createQueued();
      const over = await put(checking.port, `/v2/images/${id}/stage`, 2 * MIB);
      expect(over.status).toBe(413);
      expect(over.text).toContain("image_stage_total is over limit of 1 due to current usage 0 and delta 2");
      expect((await put(checking.port, `/v2/images/${id}/stage`, MIB)).status).toBe(204);
    });
  });

  it("are named alike in the log of the proxy and in Glance's, with the project of their image", async () => {
    const token = await keystone.login();
    const id = await createImage(token);
    const headers = { ...OCTET_STREAM, "X-Auth-Token": token };
    const answer = await request(proxy.port, "PUT", `/v2/images/${id}/file`, { headers, body: "hello" });
    expect(answer.status).toBe(204);
    const line = () => proxy.logged.find(({ imageId, msg }) => imageId === id && msg === "upload");
    await expect.poll(line).toMatchObject({ outcome: "completed", owner: (await show(id, token))["owner"] });
    const { requestId, glanceRequestId } = line() ?? {};
    expect(glanceRequestId).toBe(requestId);
    expect(answer.headers["x-openstack-request-id"]).toBe(requestId);
    expect(await glance.log()).toContain(requestId);
  });
});
