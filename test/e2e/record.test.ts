/** What operators learn of a request afterwards: who, why, for whom it waited, and by which id each side names it. */
import { afterEach, describe, expect, it } from "vitest";
import type { UploadView } from "../../src/observe/uploads-registry.js";
import { type RunningCommand, startCommand } from "../support/cli.js";
import { request, requestHead } from "../support/raw-http.js";
import { answerEarly } from "../support/recording-upstream.js";
import { CHUNKED, FILE, SIZE, useScene } from "./scene.js";

const scene = useScene({ rollback: { timeout: "300ms", interval: "10ms" } });

const GLANCE_ID = "req-99999999-0000-4000-8000-000000000000";
const TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/** A stall that no busy machine reaches by itself before the test looks; the tests wait until it is over, however long that takes. */
const STALL_S = 0.05;

async function inFlight(): Promise<UploadView | undefined> {
  return (await scene.proxy.uploads()).inFlight[0];
}

async function finished(): Promise<UploadView> {
  await expect.poll(async () => (await scene.proxy.uploads()).finished.length).toBeGreaterThan(0);
  const [upload] = (await scene.proxy.uploads()).finished;
  if (!upload) throw new Error("no upload has ended");
  return upload;
}

/** The line of the log about the last upload. */
function uploadLine(): Record<string, unknown> | undefined {
  return scene.proxy.logged.filter(({ msg }) => msg === "upload").at(-1);
}

describe("an upload tells for whom it waited", () => {
  it("for a client that stops sending", async () => {
    const peer = await scene.startUpload({ [SIZE]: 5 });
    peer.sendChunk("he");
    await expect.poll(inFlight).toMatchObject({ waitsFor: "client", receivedBytes: 2 });
    await expect.poll(async () => (await inFlight())?.waitClient).toBeGreaterThan(STALL_S);
    expect(await scene.proxy.metric('uploads_waiting{for="client"}')).toBe(1);
    expect(await scene.proxy.metric('uploads_waiting{for="glance"}')).toBe(0);
    peer.sendChunk("llo").endChunks();
    await peer.response();
    const upload = await finished();
    expect(upload.waitClient).toBeGreaterThan(STALL_S);
    expect(upload).not.toHaveProperty("waitsFor");
    expect(await scene.proxy.metric('uploads_waiting{for="client"}')).toBe(0);
    expect(uploadLine()?.["waitClient"]).toBe(upload.waitClient);
    expect(await scene.proxy.metric('upload_wait_client_seconds_count{operation="file"}')).toBe(1);
    expect(await scene.proxy.metric('upload_wait_client_seconds_sum{operation="file"}')).toBeCloseTo(
      upload.waitClient,
      5,
    );
  });

  it("for no client, if its body came together with its head", async () => {
    const proxy = await scene.startAnother({ upload: { relay: "stream" } });
    const peer = await scene.connect(proxy.port);
    peer.send(`${requestHead("PUT", FILE, { "Content-Length": 5 })}hello`);
    expect((await peer.response()).status).toBe(204);
    const [upload] = (await proxy.uploads()).finished;
    expect(upload).toMatchObject({ outcome: "completed", waitClient: 0 });
  });

  it("for a Glance that stores for a long time after the last byte", async () => {
    let answer = (): void => undefined;
    scene.upstream.onUpload = (incoming, response) => {
      response.writeContinue();
      incoming.resume();
      answer = () => void response.writeHead(204, { "X-Openstack-Request-Id": GLANCE_ID }).end();
    };
    const answered = request(scene.proxy.port, "PUT", FILE, { body: "hello" });
    await expect.poll(inFlight).toMatchObject({ waitsFor: "glance", receivedBytes: 5 });
    await expect.poll(async () => (await inFlight())?.waitGlance).toBeGreaterThan(2 * STALL_S);
    answer();
    expect((await answered).headers["x-openstack-request-id"]).toBe(GLANCE_ID);
    const upload = await finished();
    expect(upload).toMatchObject({ outcome: "completed", status: 204, glanceRequestId: GLANCE_ID });
    expect(upload.lastByteToAnswer).toBeGreaterThan(STALL_S);
    expect(upload.waitGlance).toBeGreaterThan(2 * STALL_S);
    expect(uploadLine()).toMatchObject({
      glanceRequestId: GLANCE_ID,
      waitGlance: upload.waitGlance,
      lastByteToAnswer: upload.lastByteToAnswer,
    });
    for (const name of ["upload_wait_glance_seconds", "upload_last_byte_to_answer_seconds"])
      expect(await scene.proxy.metric(`${name}_count{operation="file"}`)).toBe(1);
  });

  it("for a Glance that does not read", async () => {
    let read: (() => void) | undefined;
    scene.upstream.onUpload = (incoming, response) => {
      incoming.pause();
      response.writeContinue();
      incoming.once("end", () => response.writeHead(204).end());
      read = () => void incoming.resume();
    };
    const body = Buffer.alloc(32 * 1024 * 1024);
    const answered = request(scene.proxy.port, "PUT", FILE, { body });
    // To connect is to wait for Glance, too.
    await expect.poll(() => read).toBeDefined();
    await expect
      .poll(inFlight)
      .toSatisfy((upload?: UploadView) => upload?.waitsFor === "glance" && upload.waitGlance > STALL_S);
    read?.();
    expect((await answered).status).toBe(204);
    expect((await finished()).waitGlance).toBeGreaterThan(STALL_S);
  });

  it("for the disk of the spool", async () => {
    const spooling = await scene.startAnother({
      size: { unknown: "spool" },
      spool: { dir: "/tmp", memory: "64KiB" },
    });
    const chunk = `${(1024 * 1024).toString(16)}\r\n${"x".repeat(1024 * 1024)}\r\n0\r\n\r\n`;
    await request(spooling.port, "PUT", FILE, { headers: CHUNKED, body: chunk });
    const [upload] = (await spooling.uploads()).finished;
    expect(upload).toMatchObject({ outcome: "completed", sizeSource: "spooled" });
    expect(upload?.spoolWrite).toBeGreaterThan(0);
    expect(upload?.spoolRead).toBeGreaterThan(0);
    expect(await spooling.metric('upload_spool_write_seconds_count{operation="file"}')).toBe(1);
    expect(await spooling.metric('upload_spool_read_seconds_count{operation="file"}')).toBe(1);
  });

  it("for Glance's rollback, and that the client was gone", async () => {
    const peer = await scene.startUpload({ [SIZE]: 5 });
    peer.sendChunk("he");
    await scene.uploadUpstream();
    peer.reset();
    const upload = await finished();
    expect(upload).toMatchObject({ outcome: "client_aborted", status: 499, rollback: "queued" });
    expect(upload.waitRollback).toBeGreaterThan(0);
    expect(upload.reason).toContain("disconnected");
  });

  it("and Glance's early refusal has no time after the last byte", async () => {
    scene.upstream.onUpload = answerEarly(403, "quota");
    const peer = await scene.startUpload({ [SIZE]: 5 });
    peer.sendChunk("he");
    expect((await peer.response()).status).toBe(403);
    peer.destroy();
    const upload = await finished();
    expect(upload).toMatchObject({ outcome: "upstream_rejected", status: 403 });
    expect(upload).not.toHaveProperty("lastByteToAnswer");
  });
});

describe("ids", () => {
  it("that the client sent reach Glance as they came, and find the upload", async () => {
    scene.upstream.onUpload = (incoming, response) => {
      const head = { "X-Openstack-Request-Id": GLANCE_ID };
      incoming.resume().once("end", () => response.writeHead(204, head).end());
    };
    const headers = { "X-Openstack-Request-Id": "ticket-4711", Traceparent: TRACE };
    await request(scene.proxy.port, "PUT", FILE, { headers, body: "hello" });
    await request(scene.proxy.port, "PUT", "/v2/images/two/file", { body: "hello" });
    const [seen, other] = scene.upstream.uploads;
    expect(seen?.headers).toMatchObject({ "x-openstack-request-id": "ticket-4711", traceparent: TRACE });
    const upload = (await scene.proxy.uploads()).finished[1];
    expect(upload).toMatchObject({
      clientRequestId: "ticket-4711",
      glanceRequestId: GLANCE_ID,
      traceparent: TRACE,
      imageId: "one",
    });
    expect(upload?.requestId).toMatch(/^req-[0-9a-f-]{36}$/);
    for (const text of ["TICKET-4711", "0af7651916cd43dd8448eb211c80319c", upload?.requestId, "one"]) {
      const found = await request(scene.proxy.adminPort, "GET", `/uploads?q=${text}`);
      expect(found.json()).toEqual({ inFlight: [], finished: [upload] });
    }
    const both = await request(scene.proxy.adminPort, "GET", `/uploads?q=${GLANCE_ID}`);
    expect((both.json() as { finished: unknown[] }).finished).toHaveLength(2);
    // The client sent none, so Glance gets the proxy's.
    expect(other?.headers["x-openstack-request-id"]).toBe(
      (await scene.proxy.uploads()).finished[0]?.requestId,
    );
  });

  it.each([
    TRACE.slice(0, -1),
    `${TRACE}-more`,
    TRACE.replace("00-", "ff-"),
    `00-${"0".repeat(32)}-b7ad6b7169203331-01`,
  ])("a traceparent that is not valid is passed on and not shown: %s", async (traceparent) => {
    await request(scene.proxy.port, "PUT", FILE, { headers: { traceparent }, body: "hello" });
    expect(scene.upstream.uploads[0]?.headers["traceparent"]).toBe(traceparent);
    expect(await finished()).not.toHaveProperty("traceparent");
  });

  it("and long strings are cut to 256 characters", async () => {
    const long = "x".repeat(300);
    const headers = { "User-Agent": long, "X-Openstack-Request-Id": long, [SIZE]: long };
    await request(scene.proxy.port, "PUT", FILE, { headers, body: "hello" });
    const { userAgent, clientRequestId, invalidSize } = await finished();
    expect([userAgent?.length, clientRequestId?.length, invalidSize?.length]).toEqual([256, 256, 256]);
  });

  it("an invalid size is shown with its header", async () => {
    await request(scene.proxy.port, "PUT", FILE, { headers: { [SIZE]: "5x" }, body: "hello" });
    const shown = { outcome: "invalid_size", status: 400, invalidSize: `${SIZE}: "5x"` };
    expect(await finished()).toMatchObject(shown);
    expect(uploadLine()).toMatchObject(shown);
  });

  it("two sizes that differ are shown with their headers, and the body that nobody read as 0 bytes", async () => {
    await request(scene.proxy.port, "PUT", FILE, { headers: { [SIZE]: "6" }, body: "hello" });
    const invalidSize = `${SIZE}: 6, Content-Length: 5`;
    const reason = "Size mismatch: expected 6 bytes, got 5 bytes";
    const shown = { outcome: "size_mismatch", status: 400, receivedBytes: 0, reason, invalidSize };
    expect(await finished()).toMatchObject(shown);
    expect(uploadLine()).toMatchObject({ ...shown, cause: invalidSize });
  });

  it("a body of another size than declared has no invalid size", async () => {
    const peer = await scene.startUpload({ [SIZE]: 6 });
    peer.sendChunk("hello").endChunks();
    await peer.response();
    const record = await finished();
    expect(record).toMatchObject({ outcome: "size_mismatch", receivedBytes: 5 });
    expect(record).not.toHaveProperty("invalidSize");
  });
});

describe("the owner of the image", () => {
  it("is not looked up by default", async () => {
    await request(scene.proxy.port, "PUT", FILE, { body: "hello" });
    expect(await finished()).not.toHaveProperty("owner");
    expect(scene.upstream.requests.map(({ method }) => method)).toEqual(["PUT"]);
  });

  it("with log.owner is looked up when the client has its answer", async () => {
    const asking = await scene.startAnother({ log: { owner: true } });
    let tell = (): void => undefined;
    scene.upstream.answerLookUp = (response) => {
      tell = () => void response.end(JSON.stringify({ status: "active", size: 5, owner: "project-7" }));
    };
    expect((await request(asking.port, "PUT", FILE, { body: "hello" })).status).toBe(204);
    await expect.poll(() => scene.upstream.requests.length).toBe(2);
    expect(asking.logged.some(({ msg }) => msg === "upload")).toBe(false);
    tell();
    await expect.poll(async () => (await asking.uploads()).finished[0]?.owner).toBe("project-7");
    expect(asking.logged.filter(({ msg }) => msg === "upload")).toMatchObject([{ owner: "project-7" }]);
    expect(await asking.metric('uploads_in_flight{operation="file"}')).toBe(0);
  });

  it("is known from a look-up after an abort", async () => {
    scene.upstream.answerLookUp = (response) =>
      void response.end(JSON.stringify({ status: "queued", size: null, owner: "project-7" }));
    const peer = await scene.startUpload({ [SIZE]: 5 });
    peer.sendChunk("hello!");
    await peer.response();
    peer.destroy();
    expect(await finished()).toMatchObject({ outcome: "size_exceeded", owner: "project-7" });
  });
});

describe("requests that are no uploads", () => {
  const lines = (proxy = scene.proxy) => proxy.logged.filter(({ msg }) => msg === "request");

  it("have a line if they failed, with Glance's id and without the query", async () => {
    scene.upstream.onOther = (_request, response) =>
      void response.writeHead(404, { "X-Openstack-Request-Id": GLANCE_ID }).end("none");
    const headers = { "User-Agent": "curl/8.1", Traceparent: TRACE };
    const answer = await request(scene.proxy.port, "GET", "/v2/metadefs/one?token=secret", { headers });
    expect(answer.headers).not.toHaveProperty("proxy-status");
    await expect.poll(() => lines().length).toBe(1);
    expect(lines()[0]).toMatchObject({
      level: "info",
      method: "GET",
      path: "/v2/metadefs/one",
      status: 404,
      glanceRequestId: GLANCE_ID,
      traceparent: TRACE,
      requestId: scene.upstream.requests[0]?.headers["x-openstack-request-id"],
      peer: "127.0.0.1",
      userAgent: "curl/8.1",
      sentBytes: expect.any(Number) as number,
      durationSeconds: expect.any(Number) as number,
    });
    expect(lines()[0]?.["sentBytes"]).toBeGreaterThan("none".length);
  });

  it("have none if they succeeded, and uploads have none either", async () => {
    await request(scene.proxy.port, "GET", "/v2/schemas/image");
    await request(scene.proxy.port, "PUT", FILE, { headers: { [SIZE]: "5x" }, body: "hello" });
    await scene.roundTrip();
    expect(lines()).toEqual([]);
  });

  it("with log.access: all have one each, with none none", async () => {
    const all = await scene.startAnother({ log: { access: "all" } });
    const none = await scene.startAnother({ log: { access: "none" } });
    for (const { port } of [all, none]) {
      await request(port, "GET", "/v2/schemas/image");
      await request(port, "PUT", FILE, { body: "hello" });
    }
    await expect.poll(() => lines(all)).toMatchObject([{ status: 200, path: "/v2/schemas/image" }]);
    expect(lines(none)).toEqual([]);
  });

  it("tell which side broke an answer off", async () => {
    scene.upstream.onOther = (_request, response) => {
      response.writeHead(200, { "Content-Length": 10 });
      response.write("hello", () => response.socket?.destroySoon());
    };
    await request(scene.proxy.port, "GET", "/v2/images/one/file").catch(() => undefined);
    await expect.poll(() => lines()).toMatchObject([{ status: 200, brokenOffBy: "glance" }]);
    scene.upstream.onOther = () => undefined;
    const peer = await scene.connect();
    peer.sendHead("GET", "/v2/schemas/image");
    await expect.poll(() => scene.upstream.requests.length).toBe(2);
    peer.reset();
    await expect.poll(() => lines()[1]).toMatchObject({ status: 499, brokenOffBy: "client" });
  });

  it("that the proxy refuses have one line that says why", async () => {
    const answer = await request(scene.proxy.port, "GET", "/v2/..?token=secret");
    await scene.roundTrip();
    expect(lines()).toEqual([]);
    expect(scene.proxy.logged.filter(({ msg }) => msg === "request refused")).toMatchObject([
      { requestId: answer.headers["x-openstack-request-id"], path: "/v2/..", status: 400 },
    ]);
  });

  it("that are not HTTP have one, too, under the id of their answer", async () => {
    const peer = await scene.connect();
    peer.send("GET / HTTP/1.1\r\nbroken\r\n\r\n");
    const { headers } = await peer.response();
    const refused = scene.proxy.logged.filter(({ msg }) => msg === "request refused");
    expect(refused).toMatchObject([{ requestId: headers["x-openstack-request-id"], status: 400 }]);
    expect(headers["proxy-status"]).toContain("; error=http_request_error; ");
  });
});

describe("Proxy-Status", () => {
  const ask = (port: number, headers = {}, method = "PUT", target: string = FILE) =>
    request(port, method, target, { headers, ...(method === "PUT" && { body: "hello" }) });

  it("says of each refusal of the proxy what kind it is, and why", async () => {
    const reject = await scene.startAnother({ size: { unknown: "reject" }, limits: { maxImageSize: 4 } });
    const alone = await scene.startAnother({}, "http://127.0.0.1:1");
    const unknown = await scene.startAnother({}, "http://nowhere.invalid:1");
    const answers = [
      await ask(scene.proxy.port, { [SIZE]: "4" }),
      await ask(scene.proxy.port, { [SIZE]: "x" }),
      await ask(reject.port),
      await ask(alone.port),
      await ask(unknown.port, {}, "GET"),
    ];
    expect(answers.map(({ status, headers }) => [status, headers["proxy-status"]])).toEqual([
      [
        400,
        'glance-size-proxy; error=http_request_error; details="Size exceeds: expected 4 bytes, got 5 bytes"',
      ],
      [
        400,
        'glance-size-proxy; error=http_request_error; details="Invalid or missing image size in request headers."',
      ],
      [413, expect.stringContaining("; error=http_request_error; ")],
      [502, 'glance-size-proxy; error=connection_refused; details="Glance cannot be reached."'],
      [502, 'glance-size-proxy; error=dns_error; details="Glance cannot be reached."'],
    ]);
  });

  it("says what Glance did if it failed", async () => {
    scene.upstream.onUpload = (incoming) => void incoming.socket.destroy();
    scene.upstream.onOther = (incoming) => void incoming.socket.destroy();
    const impatient = await scene.startAnother({ upstream: { responseTimeout: "100ms" } });
    const reset = await ask(scene.proxy.port, {}, "GET");
    scene.upstream.onOther = () => undefined;
    const late = await ask(impatient.port, {}, "GET");
    expect([reset, late].map(({ headers }) => headers["proxy-status"])).toEqual([
      expect.stringContaining("; error=connection_terminated; "),
      expect.stringContaining("; error=http_response_timeout; "),
    ]);
  });

  it("is readable for scripts of an allowed origin", async () => {
    const open = await scene.startAnother({ cors: { allowedOrigins: ["https://horizon.test"] } });
    const { headers } = await ask(open.port, { [SIZE]: "x", Origin: "https://horizon.test" });
    expect(headers["access-control-expose-headers"]).toBe(
      "Proxy-Status, Retry-After, X-Openstack-Request-Id",
    );
  });
});

describe("with two workers", () => {
  let command: RunningCommand | undefined;
  afterEach(() => command?.stop());

  it("the same is known", async () => {
    command = await startCommand(scene.upstream.url, {
      GLANCE_SIZE_PROXY_WORKERS: "2",
      GLANCE_SIZE_PROXY_LOG__OWNER: "true",
    });
    const { port, adminPort, lines } = command;
    scene.upstream.answerLookUp = (response) =>
      void response.end(JSON.stringify({ status: "active", size: 5, owner: "project-7" }));
    const headers = { "X-Openstack-Request-Id": "ticket-4711", Traceparent: TRACE };
    await request(port, "PUT", FILE, { headers, body: "hello" });
    const find = async () =>
      (await request(adminPort, "GET", "/uploads?q=4711")).json() as { finished: UploadView[] };
    await expect
      .poll(async () => (await find()).finished)
      .toMatchObject([
        { clientRequestId: "ticket-4711", traceparent: TRACE, owner: "project-7", status: 204 },
      ]);
    const stalled = await scene.connect(port);
    stalled.sendHead("PUT", "/v2/images/two/file", { ...CHUNKED, [SIZE]: 5 }).sendChunk("he");
    await expect
      .poll(async () => (await command?.uploads())?.inFlight)
      .toMatchObject([{ imageId: "two", waitsFor: "client", receivedBytes: 2 }]);
    scene.upstream.onOther = (_request, response) => void response.writeHead(404).end();
    await request(port, "GET", "/v2/metadefs/none");
    await expect.poll(() => lines.filter((line) => line.includes('"msg":"request"')).length).toBe(1);
    expect(await command.metric('upload_last_byte_to_answer_seconds_count{operation="file"}')).toBe(1);
  });
});
