/** What operators see on the address of their own. */
import { describe, expect, it } from "vitest";
import { connect, request } from "../support/raw-http.js";
import { FILE, SIZE, STAGE, useScene } from "./scene.js";

const scene = useScene();
const admin = (path: string) => request(scene.proxy.adminPort, "GET", path);

describe("/metrics", () => {
  it("parses: each family has HELP and TYPE once, each sample a family and a number", async () => {
    await request(scene.proxy.port, "PUT", FILE, { body: "hello" });
    await request(scene.proxy.port, "GET", "/v2/images");
    const answer = await admin("/metrics");
    expect(answer.headers["content-type"]).toMatch(/^text\/plain; version=0\.0\.4/);
    const families = new Map<string, string>();
    const helped = new Set<string>();
    const samples = new Set<string>();
    for (const line of answer.text.split("\n")) {
      if (line === "") continue;
      const [, keyword, name = "", rest] = /^# (HELP|TYPE) (\w+) (.+)$/.exec(line) ?? [];
      if (keyword === "HELP") {
        expect(helped).not.toContain(name);
        helped.add(name);
      } else if (keyword === "TYPE") {
        expect(families.has(name)).toBe(false);
        expect(["counter", "gauge", "histogram", "summary"]).toContain(rest);
        families.set(name, rest ?? "");
      } else {
        const sample = /^(\w+)(\{(?:\w+="(?:[^"\\]|\\.)*",?)*\})? (\S+)$/.exec(line);
        expect(sample, line).not.toBeNull();
        const [, metric = "", labels = "", value] = sample ?? [];
        const family = families.has(metric) ? metric : metric.replace(/_(bucket|sum|count)$/, "");
        expect(families.has(family), line).toBe(true);
        expect(Number.isNaN(Number(value)) && value !== "Nan", line).toBe(false);
        expect(samples).not.toContain(metric + labels);
        samples.add(metric + labels);
        // promtool: counters end in _total, and nothing else does.
        if (families.get(family) === "counter") expect(family).toMatch(/_total$/);
        else if (!/_(process|nodejs)_/.test(family)) expect(family).not.toMatch(/_total$/);
      }
    }
    expect([...families.keys()].every((name) => name.startsWith("glance_size_proxy_"))).toBe(true);
    expect([...helped].sort()).toEqual([...families.keys()].sort());
  });

  it("counts an upload once it is settled, and shows it in flight before", async () => {
    const peer = await scene.startUpload({ [SIZE]: 5 }, STAGE);
    await scene.uploadUpstream();
    expect(await scene.proxy.metric('uploads_in_flight{operation="stage"}')).toBe(1);
    peer.sendChunk("hello").endChunks();
    await peer.response();
    const metric = (sample: string) => scene.proxy.metric(sample);
    expect(await metric('uploads_in_flight{operation="stage"}')).toBe(0);
    expect(await metric('uploads_total{operation="stage",outcome="completed",size_source="header"}')).toBe(1);
    expect(await metric('upload_received_bytes_total{operation="stage"}')).toBe(5);
    expect(await metric('upload_forwarded_bytes_total{operation="stage"}')).toBe(5);
    expect(await metric('upload_size_bytes_sum{operation="stage"}')).toBe(5);
    expect(await metric('upload_duration_seconds_count{operation="stage"}')).toBe(1);
    await expect.poll(() => metric('requests_total{method="PUT",status="204"}')).toBe(1);
  });
});

describe("/livez and /readyz", () => {
  it("answer 200 if Glance answers", async () => {
    expect((await admin("/livez")).status).toBe(200);
    expect(await admin("/readyz")).toMatchObject({ status: 200 });
    expect((await admin("/readyz")).json()).toEqual({ status: "ready", glance: "answers" });
  });

  it("count any answer of Glance as ready", async () => {
    scene.upstream.onOther = (_incoming, response) => void response.writeHead(503).end();
    expect((await admin("/readyz")).status).toBe(200);
  });

  it("say not ready but alive if Glance is unreachable", async () => {
    const alone = await scene.startAnother({}, "http://127.0.0.1:1");
    const ready = await request(alone.adminPort, "GET", "/readyz");
    expect(ready.status).toBe(503);
    expect(ready.json()).toEqual({ status: "glance_unreachable" });
    expect(await alone.metric("upstream_up")).toBe(0);
    expect(await scene.proxy.metric("upstream_up")).toBe(1);
    expect((await request(alone.adminPort, "GET", "/livez")).status).toBe(200);
  });

  it("say not ready while draining: the upload in flight finishes, and no new connection is accepted", async () => {
    const peer = await scene.startUpload({ [SIZE]: 5 });
    const idle = await scene.connect();
    idle.sendHead("GET", "/v2/images");
    await idle.response();
    await scene.uploadUpstream();
    let drained = false;
    const draining = scene.proxy.drain().then(() => {
      drained = true;
    });
    const ready = await admin("/readyz");
    expect(ready.status).toBe(503);
    expect(ready.json()).toEqual({ status: "draining" });
    expect((await admin("/livez")).status).toBe(200);
    await expect(connect(scene.proxy.port)).rejects.toThrow();
    expect(await idle.closed()).toBe("fin");
    expect(drained).toBe(false);
    peer.sendChunk("hello").endChunks();
    expect((await peer.response()).status).toBe(204);
    await draining;
    expect(scene.upstream.uploads).toMatchObject([{ bytes: 5, complete: true }]);
  });

  it("let a drain end in spite of a request head that never ends", async () => {
    const slow = await scene.connect();
    slow.send("GET /v2/images HTTP/1.1\r\nHost: a\r\n");
    await scene.roundTrip();
    await scene.proxy.drain();
    await slow.closed();
  });

  it("cut an upload that is not over after shutdown.drainTimeout", async () => {
    const peer = await scene.startUpload({ [SIZE]: 5 });
    peer.sendChunk("hell");
    const upload = await scene.uploadUpstream();
    await scene.proxy.drain(100);
    await peer.closed();
    await upload.over;
    expect(upload.complete).toBe(false);
  });
});

describe("/uploads", () => {
  it("shows an upload in flight, then finished with its outcome", async () => {
    const peer = await scene.startUpload({ [SIZE]: 5, "User-Agent": "curl/8.1" });
    peer.sendChunk("hel");
    const upload = await scene.uploadUpstream();
    await expect.poll(() => upload.bytes).toBe(3);
    const [inFlight] = (await scene.proxy.uploads()).inFlight;
    expect(inFlight).toMatchObject({
      imageId: "one",
      operation: "file",
      client: "curl",
      sizeSource: "header",
      declaredBytes: 5,
      receivedBytes: 3,
      forwardedBytes: 3,
    });
    expect(inFlight).not.toHaveProperty("outcome");
    expect(Date.parse(inFlight?.startedAt ?? "")).toBeGreaterThan(Date.now() - 60_000);

    peer.sendChunk("lo").endChunks();
    await peer.response();
    const { inFlight: none, finished } = await scene.proxy.uploads();
    expect(none).toEqual([]);
    expect(finished).toMatchObject([
      { requestId: inFlight?.requestId, outcome: "completed", receivedBytes: 5 },
    ]);
  });

  it("has no declaredBytes if the client declared no size", async () => {
    await scene.startUpload();
    await scene.uploadUpstream();
    const [inFlight] = (await scene.proxy.uploads()).inFlight;
    expect(inFlight).toMatchObject({ sizeSource: "unknown" });
    expect(inFlight).not.toHaveProperty("declaredBytes");
  });

  it("keeps the last 100, newest first", async () => {
    for (let number = 0; number < 103; number += 1) {
      await request(scene.proxy.port, "PUT", `/v2/images/${number}/file`, { body: "" });
    }
    const { finished } = await scene.proxy.uploads();
    expect(finished).toHaveLength(100);
    expect(finished[0]?.imageId).toBe("102");
    expect(finished.at(-1)?.imageId).toBe("3");
  });
});

describe("the log", () => {
  it("has one line for each upload, with all its fields", async () => {
    const headers = { "X-Openstack-Request-Id": "req-01234567-89ab-cdef-0123-456789abcdef" };
    const peer = await scene.startUpload({ ...headers, [SIZE]: 5, "User-Agent": "curl/8.1" });
    peer.sendChunk("hello").endChunks();
    await peer.response();
    const lines = scene.proxy.logged.filter(({ msg }) => msg === "upload");
    expect(lines).toEqual([
      {
        level: "info",
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string,
        msg: "upload",
        requestId: headers["X-Openstack-Request-Id"],
        clientRequestId: headers["X-Openstack-Request-Id"],
        imageId: "one",
        operation: "file",
        sizeSource: "header",
        declaredBytes: 5,
        receivedBytes: 5,
        forwardedBytes: 5,
        framingIn: "chunked",
        framingOut: "content-length",
        outcome: "completed",
        startedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string,
        durationSeconds: expect.any(Number) as number,
        waitClient: expect.any(Number) as number,
        waitGlance: expect.any(Number) as number,
        lastByteToAnswer: expect.any(Number) as number,
        peer: "127.0.0.1",
        userAgent: "curl/8.1",
        client: "curl",
        status: 204,
      },
    ]);
  });

  it("has one line for a refused upload, too, with the reason", async () => {
    const peer = await scene.startUpload({ [SIZE]: 5 });
    peer.sendChunk("hello!");
    const answer = await peer.response();
    peer.destroy();
    const lines = scene.proxy.logged.filter(({ msg }) => msg === "upload");
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({
      requestId: answer.headers["x-openstack-request-id"],
      outcome: "size_exceeded",
      status: 400,
      reason: "Size exceeds: expected 5 bytes, got 6 bytes",
      rollback: "queued",
    });
  });
});

describe("the live page at /", () => {
  it("is served without caching", async () => {
    const page = await admin("/");
    expect(page.headers).toMatchObject({
      "content-type": "text/html; charset=utf-8",
      "cache-control": "public, max-age=0",
    });
    expect(page.text).toContain("<title>glance-size-proxy</title>");
  });

  it("loads only its own assets, which are cached forever", async () => {
    const links = [...(await admin("/")).text.matchAll(/(?:src|href)="([^"]+)"/g)].map(
      ([, link]) => link ?? "",
    );
    const assets = links.filter((link) => link.startsWith("./assets/"));
    expect(links.filter((link) => !assets.includes(link)).sort()).toEqual(["metrics", "uploads"]);
    expect(assets.map((asset) => asset.split(".").at(-1)).sort()).toEqual(["css", "js", "svg"]);
    for (const asset of assets) {
      const answer = await admin(asset.slice(1));
      expect(answer.status).toBe(200);
      expect(answer.headers["cache-control"]).toBe("public, max-age=31536000, immutable");
    }
  });

  it("links to the licences of its libraries", async () => {
    const { text } = await admin("/licences.txt");
    for (const library of ["preact", "uplot"]) expect(text).toContain(library);
  });

  it.each(["/", "/uploads", "/metrics", "/nowhere"])(
    "browsers are told to be strict with %s",
    async (path) => {
      const { headers } = await admin(path);
      expect(headers["content-security-policy"]).toMatch(/^default-src 'none'/);
      expect(headers["content-security-policy"]).not.toContain("unsafe");
      expect(headers).toMatchObject({
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
      });
    },
  );

  it.each(["/assets/", "/assets/../../cli.js", "/..%2fcli.js", "/assets"])(
    "%s is not there",
    async (path) => {
      expect((await admin(path)).status).toBeGreaterThanOrEqual(400);
    },
  );
});

it("the client address does not serve the admin paths", async () => {
  for (const path of ["/", "/events", "/metrics", "/livez", "/readyz", "/uploads"]) {
    expect((await request(scene.proxy.port, "GET", path)).text).toBe(`GET ${path}`);
  }
});
