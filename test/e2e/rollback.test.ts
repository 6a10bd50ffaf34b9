/** After an aborted upload the client is answered once Glance has put the image back, and told if it has not. */
import { describe, expect, it } from "vitest";
import { CHUNKED, FILE, type Scene, SIZE, STAGE, useScene } from "./scene.js";

const ROLLBACK = { timeout: "300ms", interval: "10ms" };

/** Sends one byte too many, once Glance has the upload. */
async function abort(scene: Scene, headers = {}, target = FILE) {
  const peer = await scene.startUpload({ [SIZE]: 5, ...headers }, target);
  peer.sendChunk("hello");
  const upload = await scene.uploadUpstream();
  await expect.poll(() => upload.bytes).toBe(4);
  peer.sendChunk("!");
  return peer;
}

function lookUps(scene: Scene) {
  return scene.upstream.requests.filter(
    ({ method, target }) => method === "GET" && target === "/v2/images/one",
  );
}

describe("the image is looked up", () => {
  const scene = useScene({ rollback: { timeout: "10s", interval: "10ms" } });

  it.each([
    ["saving", FILE],
    ["uploading", STAGE],
  ])("until it is no longer %s, and only then the client is answered", async (status, target) => {
    scene.upstream.imageStatus = status;
    const peer = await abort(scene, {}, target);
    await expect.poll(() => lookUps(scene).length).toBeGreaterThan(3);
    expect(peer.unread).toHaveLength(0);
    // What it still sends in the meantime is taken from it.
    peer.sendChunk(Buffer.alloc(1024 * 1024)).endChunks();
    await peer.flushed();
    expect(peer.unread).toHaveLength(0);

    scene.upstream.imageStatus = "queued";
    const answer = await peer.response();
    expect(answer.status).toBe(400);
    expect(answer.text).toBe("400 Bad Request\n\nSize exceeds: expected 5 bytes, got 6 bytes\n\n   ");
    expect(await scene.proxy.metric('rollbacks_total{result="queued"}')).toBe(1);
    expect(await scene.proxy.metric("rollback_duration_seconds_count")).toBe(1);
  });

  it("with the client's own credentials, and by nothing but GET", async () => {
    const peer = await abort(scene, {
      "X-Auth-Token": "canary",
      "X-Service-Token": "service",
      "X-Roles": "member",
      Accept: "application/vnd.test",
      "Content-Type": "application/octet-stream",
      "If-None-Match": "x",
      Range: "bytes=0-1",
    });
    expect((await peer.response()).status).toBe(400);
    const [lookUp] = lookUps(scene);
    expect(lookUp?.headers).toMatchObject({
      "x-auth-token": "canary",
      "x-service-token": "service",
      "x-roles": "member",
      accept: "application/json",
      host: "glance.test",
    });
    for (const name of [
      "content-length",
      "content-type",
      "transfer-encoding",
      "expect",
      "if-none-match",
      "range",
    ]) {
      expect(lookUp?.headers).not.toHaveProperty(name);
    }
    expect(lookUp?.bytes).toBe(0);
    expect(scene.upstream.requests.map(({ method }) => method)).toEqual(["PUT", "GET", "GET"]);
  });

  it.each([
    ["too many bytes", "!", 400],
    ["too few bytes", "", 400],
  ])("after %s", async (_, more, status) => {
    const peer = await scene.startUpload({ [SIZE]: 6 });
    peer.sendChunk("hello");
    await scene.uploadUpstream();
    peer.sendChunk(more + more).endChunks();
    expect((await peer.response()).status).toBe(status);
    // Whether Glance has begun, and whether it has put the image back.
    expect(lookUps(scene)).toHaveLength(2);
  });

  it("after the client has disconnected", async () => {
    const peer = await scene.startUpload({ [SIZE]: 5 });
    peer.sendChunk("hell");
    const upload = await scene.uploadUpstream();
    await expect.poll(() => upload.bytes).toBe(4);
    peer.destroy();
    await expect.poll(() => scene.proxy.metric('rollbacks_total{result="queued"}')).toBe(1);
  });

  it("not for an upload that was never sent to Glance", async () => {
    const peer = await scene.startUpload({ [SIZE]: "x" });
    expect((await peer.response()).status).toBe(400);
    expect(scene.upstream.requests).toEqual([]);
  });

  it("not after a refusal by Glance", async () => {
    scene.upstream.onUpload = (_incoming, response) => void response.writeHead(409).end("no");
    const peer = await scene.startUpload({ [SIZE]: 5 });
    expect((await peer.response()).status).toBe(409);
    expect(lookUps(scene)).toEqual([]);
  });

  it("by its canonical id, however the client has written it", async () => {
    const peer = await scene.startUpload({ [SIZE]: 5 }, "//v2/images/%6fne/%66ile");
    peer.sendChunk("hello!");
    expect((await peer.response()).status).toBe(400);
    expect(scene.upstream.uploads[0]?.target).toBe(FILE);
    const others = scene.upstream.requests.filter(({ method }) => method !== "PUT");
    expect(others.length).toBeGreaterThan(0);
    expect(lookUps(scene)).toEqual(others);
  });
});

describe("the client is told", () => {
  const scene = useScene({ rollback: ROLLBACK });

  it.each([
    ["saving", "timeout", "Glance has not yet set image one back to queued"],
    ["uploading", "timeout", "Glance has not yet set image one back to queued"],
    ["active", "active", "Glance reports that image one is active"],
  ])("that the image stays %s", async (status, result, remark) => {
    scene.upstream.imageStatusAfterwards = status;
    const peer = await abort(scene, { Accept: "application/json", "X-Openstack-Request-Id": "nonsense" });
    const answer = await peer.response();
    expect(answer.status).toBe(400);
    const { message } = answer.json() as { message: string };
    expect(message).toContain("Size exceeds: expected 5 bytes, got 6 bytes");
    expect(message).toContain(remark);
    expect(await scene.proxy.metric(`rollbacks_total{result="${result}"}`)).toBe(1);
    expect(scene.proxy.logged).toContainEqual(
      expect.objectContaining({
        level: "error",
        imageId: "one",
        rollback: result,
        requestId: answer.headers["x-openstack-request-id"],
      }),
    );
    expect(scene.upstream.requests.filter(({ method }) => !["GET", "PUT"].includes(method))).toEqual([]);
  });

  it("nothing more if the image cannot be looked up", async () => {
    const hidden = await scene.startAnother({ rollback: ROLLBACK, listen: {} }, scene.upstream.url);
    scene.upstream.imageStatus = "";
    const peer = await scene.startUpload({ [SIZE]: 5 }, FILE, hidden.port);
    peer.sendChunk("hello!");
    expect((await peer.response()).text).toContain("got 6 bytes\n\n");
  });
});

describe("rollback.verify: false", () => {
  const scene = useScene({ rollback: { verify: false } });

  it("answers at once without a look-up", async () => {
    scene.upstream.imageStatus = "saving";
    const peer = await abort(scene);
    expect((await peer.response()).status).toBe(400);
    expect(lookUps(scene)).toEqual([]);
  });
});

describe("a Glance that cannot be reached", () => {
  const scene = useScene();

  it("causes no look-up", async () => {
    const alone = await scene.startAnother({}, "http://127.0.0.1:1");
    const peer = await scene.connect(alone.port);
    peer.sendHead("PUT", FILE, CHUNKED).sendChunk("hello");
    expect((await peer.response()).status).toBe(502);
    expect(await alone.metric("rollback_duration_seconds_count")).toBe(0);
  });
});

describe("before the abort", () => {
  const scene = useScene({ rollback: { interval: "10ms" } });

  it("an upload that Glance is slow to begin is not cut before it has begun", async () => {
    // A Glance that says no 100, and marks the image only after it has been looked at a few times.
    let looks = 0;
    let cutAfter: number | undefined;
    scene.upstream.onUpload = (incoming) => {
      incoming.socket.once("close", () => {
        cutAfter = looks;
      });
    };
    scene.upstream.onLookUp = () => {
      looks += 1;
      scene.upstream.imageStatus = looks < 4 ? "queued" : looks < 6 ? "saving" : "queued";
    };
    const peer = await scene.startUpload({ [SIZE]: 4 });
    peer.sendChunk("hello").endChunks();
    expect((await peer.response()).status).toBe(400);
    expect(cutAfter).toBe(4);
    expect(looks).toBeGreaterThanOrEqual(6);
  });
});

describe("the log line of an upload that was cut", () => {
  const scene = useScene();

  const MIB = 1024 * 1024;

  it.each([
    ["100 MiB are declared", true, 100 * MIB],
    ["a byte less is declared", false, 100 * MIB - 1],
    ["no size is declared", false, undefined],
  ])("mentions parts that S3 may keep, if %s: %s", async (_, says, declared) => {
    const peer = await scene.startUpload(declared === undefined ? {} : { [SIZE]: declared });
    peer.sendChunk(Buffer.alloc(MIB));
    await expect.poll(() => scene.upstream.uploads.at(-1)?.bytes).toBeGreaterThan(0);
    if (declared === undefined) peer.destroy();
    else expect((await peer.endChunks().response()).status).toBe(400);
    const lines = (): unknown[] => scene.proxy.logged.filter(({ msg }) => msg === "upload");
    await expect.poll(lines).toHaveLength(1);
    expect(JSON.stringify(lines()).includes("AbortIncompleteMultipartUpload")).toBe(says);
  });
});
