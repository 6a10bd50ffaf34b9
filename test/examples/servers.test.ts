/** The examples that are programs: each runs as its first lines say, in front of a server that records what it gets. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { connect, type HeaderValues, request } from "../support/raw-http.js";
import { type RecordingUpstream, startRecordingUpstream } from "../support/recording-upstream.js";

const FILE = "/v2/images/one/file";
const SIZE = "x-openstack-image-size";
const CHUNKED = { "Transfer-Encoding": "chunked", "Content-Type": "application/octet-stream" } as const;
const HELLO = "5\r\nhello\r\n0\r\n\r\n";

describe.each(["http", "express", "fastify"])("examples/%s", (name) => {
  let upstream: RecordingUpstream;
  let child: ChildProcess;
  let port: number;

  beforeEach(async () => {
    upstream = await startRecordingUpstream();
    beginEachUpload();
    child = spawn(process.execPath, [`examples/${name}/server.mjs`], {
      env: { ...process.env, GLANCE_URL: upstream.url, PORT: "0" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    port = await listeningPort(child);
  });
  afterEach(async () => {
    if (child.exitCode === null) {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
    await upstream.stop();
  });

  /** As Glance: an upload is seen to begin, and is put back when it is aborted. */
  function beginEachUpload(): void {
    upstream.imageStatus = "saving";
    upstream.onLookUp = () => setImmediate(() => (upstream.imageStatus = "queued"));
  }

  const upload = (size: number, headers: HeaderValues = {}) =>
    request(port, "PUT", FILE, { headers: { ...CHUNKED, [SIZE]: size, ...headers }, body: HELLO });

  it("an upload of its announced size reaches Glance whole", async () => {
    expect((await upload(5)).status).toBe(204);
    expect(upstream.uploads).toMatchObject([{ target: FILE, bytes: 5, complete: true }]);
    expect(upstream.uploads[0]?.headers).toMatchObject({ "content-length": "5", [SIZE]: "5" });
  });

  it("an upload of another size is answered 400, and is never whole for Glance", async () => {
    const refusal = await upload(4);
    expect([refusal.status, refusal.text]).toEqual([
      400,
      expect.stringContaining("Size exceeds: expected 4 bytes, got 5 bytes"),
    ]);
    await Promise.all(upstream.uploads.map(({ over }) => over));
    expect(upstream.uploads.filter(({ complete }) => complete)).toEqual([]);
  });

  it("a bad size is refused before the client is asked for the body", async () => {
    const peer = await connect(port);
    peer.sendHead("PUT", FILE, { ...CHUNKED, [SIZE]: "4x", Expect: "100-continue" });
    expect((await peer.response()).status).toBe(400);
    expect(peer.interims).toEqual([]);
    peer.destroy();
  });

  it("another spelling of an upload does not bypass the proxy", async () => {
    for (const target of ["//v2//images/one//%66ile", "/v2/images/x/../one/file"]) {
      beginEachUpload();
      const answer = await request(port, "PUT", target, { headers: { ...CHUNKED, [SIZE]: 4 }, body: HELLO });
      expect([target, answer.status]).toEqual([target, 400]);
    }
    await Promise.all(upstream.uploads.map(({ over }) => over));
    expect(upstream.uploads.filter(({ complete }) => complete)).toEqual([]);
  });

  it("everything else passes through, with its body", async () => {
    const target = `/v2/images?marker=${"x".repeat(500)}`;
    expect((await request(port, "GET", target)).text).toBe(`GET ${target}`);
    const headers = { "Content-Type": "application/openstack-images-v2.1-json-patch" };
    expect((await request(port, "PATCH", "/v2/images/one", { headers, body: "[]" })).status).toBe(200);
    expect(upstream.requests.at(-1)).toMatchObject({ method: "PATCH", bytes: 2, complete: true });
  });

  // The app in examples/http is the middleware alone.
  if (name !== "http") {
    it("the app's own route shows the metrics", async () => {
      await upload(5);
      const answer = await request(port, "GET", "/metrics");
      expect(answer.headers["content-type"]).toMatch(/^text\/plain; version=0\.0\.4/);
      expect(answer.text).toContain(
        'glance_size_proxy_uploads_total{operation="file",outcome="completed",size_source="header"} 1',
      );
    });
  }
});

/** The port in the line that an example prints once it listens. */
async function listeningPort(child: ChildProcess): Promise<number> {
  if (child.stdout === null) throw new Error("standard output is not piped");
  for await (const line of createInterface({ input: child.stdout })) {
    const [, port] = /^listening on http:\/\/127\.0\.0\.1:(\d+)$/.exec(line) ?? [];
    if (port === undefined) continue;
    child.stdout.resume(); // or the log would fill the pipe
    return Number(port);
  }
  throw new Error("the example ended before it listened");
}
