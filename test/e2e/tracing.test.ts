/** Spans of uploads: what an SDK gets, what Glance gets, and that nothing happens without an SDK. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import {
  type Context,
  context,
  propagation,
  SpanKind,
  SpanStatusCode,
  type TextMapSetter,
  trace,
} from "@opentelemetry/api";
import {
  AlwaysOffSampler,
  InMemorySpanExporter,
  NodeTracerProvider,
  type ReadableSpan,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-node";
import express from "express";
import { afterEach, describe, expect, it } from "vitest";
import { createGlanceSizeProxy } from "../../src/index.js";
import { connect, type HeaderValues, request } from "../support/raw-http.js";
import { CHUNKED, FILE, SIZE, STAGE, useScene } from "./scene.js";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const PARENT = "b7ad6b7169203331";
const CLIENT = {
  traceparent: `00-${TRACE}-${PARENT}-01`,
  tracestate: "vendor=1",
  "User-Agent": "curl/8.1",
  "X-Auth-Token": "canary-token",
};
const silent = { debug() {}, info() {}, warn() {}, error() {} };

const scene = useScene({ rollback: { timeout: "2s", interval: "10ms" } });

/** Loads an SDK, as whoever starts the process would. @returns the ended spans by name, once `upload` is among them. */
function loadSdk(more: object = {}): () => Promise<Record<string, ReadableSpan>> {
  const exporter = new InMemorySpanExporter();
  new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)], ...more }).register();
  return async () => {
    const named = () => Object.fromEntries(exporter.getFinishedSpans().map((span) => [span.name, span]));
    await expect.poll(named).toHaveProperty("upload");
    return named();
  };
}
afterEach(() => {
  trace.disable();
  context.disable();
  propagation.disable();
});

async function upload(
  body: string,
  headers: HeaderValues = {},
  { port = scene.proxy.port, target = `${FILE}?secret=canary-query` } = {},
) {
  const peer = await connect(port);
  try {
    return await peer
      .sendHead("PUT", target, { ...CHUNKED, ...CLIENT, ...headers })
      .sendChunk(body)
      .endChunks()
      .response();
  } finally {
    peer.destroy();
  }
}
const traceparents = () =>
  scene.upstream.requests.map(({ method, headers }) => [method, headers["traceparent"]]);
const idOf = (span: ReadableSpan | undefined) => `00-${TRACE}-${span?.spanContext().spanId}-01`;

it("without an SDK, the trace context of the client goes to Glance as it came", async () => {
  await upload("hello", { [SIZE]: 5 });
  expect(scene.upstream.uploads[0]?.headers).toMatchObject({
    traceparent: CLIENT.traceparent,
    tracestate: "vendor=1",
  });
});

describe("with an SDK", () => {
  it("an upload is a span of the client's trace, with a child for each phase; Glance continues the last one", async () => {
    const spans = loadSdk();
    expect((await upload("hello", { [SIZE]: 5 })).status).toBe(204);
    const { upload: whole, learn, relay, ...others } = await spans();
    expect(others).toEqual({});
    expect(whole?.spanContext().traceId).toBe(TRACE);
    expect(whole?.parentSpanContext?.spanId).toBe(PARENT);
    for (const child of [learn, relay]) {
      expect(child?.parentSpanContext?.spanId).toBe(whole?.spanContext().spanId);
    }
    expect(whole).toMatchObject({
      kind: SpanKind.SERVER,
      status: { code: SpanStatusCode.UNSET },
      attributes: {
        "http.request.method": "PUT",
        "http.response.status_code": 204,
        "http.route": "/v2/images/{image_id}/file",
        "url.path": FILE,
        "url.scheme": "http",
        "server.address": "glance.test",
        "network.peer.address": "127.0.0.1",
        "user_agent.original": "curl/8.1",
        "glance_size_proxy.request_id": expect.stringMatching(/^req-/) as string,
        "glance_size_proxy.outcome": "completed",
        "glance_size_proxy.size_source": "header",
        "glance_size_proxy.declared_bytes": 5,
        "glance_size_proxy.received_bytes": 5,
        "glance_size_proxy.forwarded_bytes": 5,
      },
    });
    expect(relay).toMatchObject({
      kind: SpanKind.CLIENT,
      attributes: {
        "http.request.method": "PUT",
        "http.response.status_code": 204,
        "server.address": "127.0.0.1",
        "server.port": Number(new URL(scene.upstream.url).port),
      },
    });
    expect(traceparents()).toEqual([["PUT", idOf(relay)]]);
    expect(scene.upstream.uploads[0]?.headers["tracestate"]).toBe("vendor=1");
    expect(JSON.stringify([whole?.attributes, learn?.attributes, relay?.attributes])).not.toContain("canary");
  });

  it("an aborted upload has a rollback, and the look-ups in it belong to it", async () => {
    const spans = loadSdk();
    expect((await upload("hello!", { [SIZE]: 5 }, { target: STAGE })).status).toBe(400);
    const { upload: whole, relay, rollback } = await spans();
    expect(whole).toMatchObject({
      status: { code: SpanStatusCode.UNSET },
      attributes: { "http.response.status_code": 400, "glance_size_proxy.outcome": "size_exceeded" },
    });
    expect(relay).toMatchObject({
      status: { code: SpanStatusCode.ERROR },
      attributes: { "error.type": "size_exceeded" },
    });
    expect(rollback?.attributes).toEqual({ "glance_size_proxy.rollback": "queued" });
    expect(traceparents()).toContainEqual(["GET", idOf(rollback)]);
  });

  it("a refused upload has nothing behind learn", async () => {
    const spans = loadSdk();
    expect((await upload("hello", { [SIZE]: "x" })).status).toBe(400);
    expect(Object.keys(await spans()).sort()).toEqual(["learn", "upload"]);
  });

  it("a body of unknown size is spooled first", async () => {
    const spans = loadSdk();
    const { port } = await scene.startAnother({ size: { unknown: "spool" } });
    expect((await upload("hello", {}, { port })).status).toBe(204);
    const ended = await spans();
    expect(Object.keys(ended)).toEqual(["learn", "spool", "relay", "upload"]);
    expect(ended["spool"]?.parentSpanContext?.spanId).toBe(ended["upload"]?.spanContext().spanId);
    expect(ended["upload"]?.attributes["glance_size_proxy.size_source"]).toBe("spooled");
  });

  it("a lost answer of Glance is recovered in a span", async () => {
    const spans = loadSdk();
    scene.upstream.onUpload = (incoming) => {
      incoming.resume().once("end", () => incoming.socket.destroy());
    };
    expect((await upload("hello", { [SIZE]: 5 })).status).toBe(502);
    const { upload: whole, relay, recovery } = await spans();
    expect(recovery?.attributes).toEqual({ "glance_size_proxy.recovery": "queued" });
    expect(whole).toMatchObject({
      status: { code: SpanStatusCode.ERROR },
      attributes: { "http.response.status_code": 502, "error.type": "upstream_error" },
    });
    expect(relay?.status.code).toBe(SpanStatusCode.ERROR);
    expect(traceparents()).toContainEqual(["GET", idOf(recovery)]);
  });

  it("a client that disconnects gets no status", async () => {
    const spans = loadSdk();
    const peer = await scene.startUpload({ ...CLIENT, [SIZE]: 5 });
    await scene.uploadUpstream();
    peer.reset();
    const { upload: whole } = await spans();
    expect(whole).toMatchObject({
      status: { code: SpanStatusCode.ERROR },
      attributes: { "error.type": "client_aborted" },
    });
    expect(whole?.attributes).not.toHaveProperty("http.response.status_code");
  });

  it("a sampler that drops the trace gets no spans, and Glance is told so", async () => {
    const exporter = new InMemorySpanExporter();
    loadSdk({ sampler: new AlwaysOffSampler(), spanProcessors: [new SimpleSpanProcessor(exporter)] });
    await upload("hello", { [SIZE]: 5 });
    expect(exporter.getFinishedSpans()).toEqual([]);
    expect(scene.upstream.uploads[0]?.headers["traceparent"]).toMatch(new RegExp(`^00-${TRACE}-\\w{16}-00$`));
  });

  it("without a trace context of the client, a trace begins here", async () => {
    const spans = loadSdk();
    await request(scene.proxy.port, "PUT", FILE, { body: "hello" });
    const { upload: whole, relay } = await spans();
    expect(whole?.parentSpanContext).toBeUndefined();
    expect(scene.upstream.uploads[0]?.headers["traceparent"]).toContain(relay?.spanContext().spanId);
  });

  it("as middleware, the span of the application is the parent", async () => {
    const spans = loadSdk();
    const proxy = createGlanceSizeProxy({ upstream: { url: scene.upstream.url } }, { log: silent });
    const tracer = trace.getTracer("app");
    const app = express().use((incoming, response, next) => {
      tracer.startActiveSpan("app", (span) => {
        response.once("close", () => span.end());
        proxy(incoming, response, next);
      });
    });
    const server = createServer(app).listen(0, "127.0.0.1");
    try {
      await once(server, "listening");
      const { port } = server.address() as AddressInfo;
      expect((await upload("hello", { [SIZE]: 5 }, { port })).status).toBe(204);
      await expect.poll(spans).toHaveProperty("app");
      const { upload: whole, app: outer } = await spans();
      expect(whole?.parentSpanContext?.spanId).toBe(outer?.spanContext().spanId);
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });
});

describe("a propagator that fails costs the trace context, and nothing else", () => {
  const nothing = {
    fields: () => ["uberctx-a"],
    extract: (parent: Context) => parent,
    inject: () => undefined,
  };

  it.each([
    ["throws when it reads", { ...nothing, extract: () => fail() }],
    ["throws when it writes", { ...nothing, inject: () => fail() }],
    [
      "makes an impossible header name",
      {
        ...nothing,
        inject: (_: Context, lines: unknown, setter: TextMapSetter) =>
          setter.set(lines, "a\r\nX-Roles: admin", "1"),
      },
    ],
  ])("it %s", async (_, propagator) => {
    new NodeTracerProvider().register({ propagator });
    const received = scene.upstream.uploads.length;
    expect((await upload("hello")).status).toBe(204);
    expect(scene.upstream.uploads.slice(received)).toMatchObject([
      { headers: { traceparent: CLIENT.traceparent } },
    ]);
  });
});

function fail(): never {
  throw new Error("the propagator is broken");
}
