/** The stream that the live page listens to, as it goes over the wire. */
import { once } from "node:events";
import { createServer, get, type IncomingMessage } from "node:http";
import { type AddressInfo, connect as connectPlain } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { promisify } from "node:util";
import express from "express";
import { afterEach, describe, expect, it } from "vitest";
import { createEvents, type OverviewEvent } from "../../src/admin/events.js";
import type { Overview } from "../../src/admin/overview.js";
import { createAdminServer } from "../../src/admin/server.js";
import { parseConfig } from "../../src/config/load.js";
import { createLog } from "../../src/observe/log.js";
import { createMetrics } from "../../src/observe/metrics.js";
import { createUpstream } from "../../src/upstream/upstream.js";
import { createAuthority } from "../support/certificates.js";
import { overviewAt, uploadWith } from "../support/overviews.js";
import { Peer, request } from "../support/raw-http.js";
import { describeWith } from "../support/requirements.js";
import { FILE, SIZE, useScene } from "./scene.js";

/** Above the second between two events. */
const A_WHILE_MS = 1_500;

const cleanUp: (() => void)[] = [];
afterEach(() => {
  for (const act of cleanUp.splice(0)) act();
});

interface Stream {
  readonly response: IncomingMessage;
  /** All so far. */
  readonly events: OverviewEvent[];
  /** Resolves when there are so many. */
  has(count: number): Promise<OverviewEvent[]>;
}

async function watch(port: number, localAddress = "127.0.0.1"): Promise<Stream> {
  const outgoing = get({ port, host: "127.0.0.1", path: "/events", agent: false, localAddress });
  cleanUp.push(() => outgoing.destroy());
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  const events: OverviewEvent[] = [];
  let text = "";
  response.setEncoding("utf8").on("error", () => undefined); // cut, by the proxy or at the end of the test
  response.on("data", (piece: string) => {
    const messages = (text + piece).split("\n\n");
    text = messages.pop() ?? "";
    for (const message of messages) {
      expect(message).toMatch(/^data: [^\n]*$/);
      events.push(JSON.parse(message.slice("data: ".length)) as OverviewEvent);
    }
  });
  return {
    response,
    events,
    async has(count) {
      await expect.poll(() => events.length).toBeGreaterThanOrEqual(count);
      return events;
    },
  };
}

describe("the proxy", () => {
  const scene = useScene();
  const probes = (): number => scene.upstream.requests.filter(({ target }) => target === "/versions").length;

  it("sends an event at once, and then each second", async () => {
    const peer = await scene.startUpload({ [SIZE]: 5, "User-Agent": "curl/8.1" });
    peer.sendChunk("hel");
    const upload = await scene.uploadUpstream();
    await expect.poll(() => upload.bytes).toBe(3);
    const stream = await watch(scene.proxy.adminPort);
    expect(stream.response.headers).toMatchObject({
      "content-type": "text/event-stream",
      "cache-control": "no-store",
    });
    const [first] = await stream.has(1);
    expect(first).toMatchObject({
      state: "ready",
      workers: 1,
      inFlight: [{ imageId: "one", client: "curl", declaredBytes: 5, receivedBytes: 3 }],
      finished: [],
      totals: { receivedBytes: 3, forwardedBytes: 3, outcomes: { completed: 0, busy: 0 } },
    });
    peer.sendChunk("lo").endChunks();
    await peer.response();
    const after = stream.events.length;
    const event = (await stream.has(after + 1)).at(-1);
    expect(event).toMatchObject({
      inFlight: [],
      finished: [{ imageId: "one", outcome: "completed" }],
      totals: { receivedBytes: 5, outcomes: { completed: 1 } },
    });
    expect(Date.parse(event?.now ?? "") - Date.parse(first?.now ?? "")).toBeGreaterThan(900);
  });

  it("sends the finished uploads only if they changed", async () => {
    await request(scene.proxy.port, "PUT", FILE, { body: "hello" });
    const stream = await watch(scene.proxy.adminPort);
    const [first, second] = await stream.has(2);
    expect(first?.finished).toHaveLength(1);
    expect(second).not.toHaveProperty("finished");
    // Whoever comes later is told all the same.
    const [firstOfLater] = await (await watch(scene.proxy.adminPort)).has(1);
    expect(firstOfLater?.finished).toHaveLength(1);
    await request(scene.proxy.port, "PUT", FILE, { body: "hello" });
    const after = stream.events.length;
    expect((await stream.has(after + 1)).at(-1)?.finished).toHaveLength(2);
  });

  it("asks Glance every few seconds, however many pages are open, and never without one", async () => {
    await request(scene.proxy.port, "GET", "/v2/images");
    expect(probes()).toBe(0);
    const streams = [await watch(scene.proxy.adminPort), await watch(scene.proxy.adminPort)];
    const times = (await streams[0]?.has(5))?.map(({ now }) => Date.parse(now)) ?? [];
    const seconds = ((times.at(-1) ?? 0) - (times[0] ?? 0)) / 1000;
    expect(probes()).toBeGreaterThan(1);
    expect(probes()).toBeLessThanOrEqual(1 + seconds / 3);
  });

  it("says that Glance is down, and that it is back", async () => {
    const away = await scene.startAnother({}, "http://127.0.0.1:1");
    expect((await (await watch(away.adminPort)).has(1))[0]?.state).toBe("glance_unreachable");

    const stream = await watch(scene.proxy.adminPort);
    expect((await stream.has(1))[0]?.state).toBe("ready");
    const state = () => stream.events.at(-1)?.state;
    scene.upstream.onOther = (incoming) => void incoming.socket.destroy();
    await expect.poll(state).toBe("glance_unreachable");
    scene.upstream.onOther = (_incoming, response) => void response.end();
    await expect.poll(state).toBe("ready");
  });

  it("reports draining, and ends the stream after the drain", async () => {
    const peer = await scene.startUpload({ [SIZE]: 5 });
    await scene.uploadUpstream();
    const stream = await watch(scene.proxy.adminPort);
    await stream.has(1);
    const drained = scene.proxy.drain();
    await expect.poll(() => stream.events.at(-1)?.state).toBe("draining");
    peer.sendChunk("hello").endChunks();
    await peer.response();
    await drained;
    await expect.poll(() => stream.response.destroyed).toBe(true);
  });

  it("cuts an image id that is longer than a UUID can be", async () => {
    const peer = await scene.startUpload({ [SIZE]: 5 }, `/v2/images/${"x".repeat(2000)}/file`);
    await scene.uploadUpstream();
    const [first] = await (await watch(scene.proxy.adminPort)).has(1);
    expect(first?.inFlight).toMatchObject([{ imageId: "x".repeat(64) }]);
    peer.destroy();
  });
});

describe("the stream at /events", () => {
  /** A server that has nothing but the stream, of what `tell` makes up. */
  async function serve(tell: () => Overview) {
    const served = { port: 0, told: 0, logged: [] as string[] };
    const log = createLog("info", { write: (line) => void served.logged.push(line) });
    const overview = (): Promise<Overview> => {
      served.told += 1;
      return Promise.resolve().then(tell);
    };
    const server = createServer(express().get("/events", createEvents({ overview, log })));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    cleanUp.push(() => {
      server.close();
      server.closeAllConnections();
    });
    const { port } = server.address() as AddressInfo;
    const connections = promisify(server.getConnections.bind(server));
    return Object.assign(served, { port, connections });
  }

  it("costs one overview per second for all pages, and none without a page", async () => {
    const served = await serve(() => overviewAt(0));
    const streams = await Promise.all([1, 2, 3].map(() => watch(served.port)));
    for (const stream of streams) await stream.has(3);
    // The last one may still be on its way.
    expect(served.told).toBeLessThanOrEqual(1 + Math.max(...streams.map(({ events }) => events.length)));
    for (const { response } of streams) response.destroy();
    await expect.poll(() => served.connections()).toBe(0);
    const told = served.told;
    await delay(A_WHILE_MS); // in which the next would come
    expect(served.told).toBe(told);
    // And begins again for the next.
    await (await watch(served.port)).has(2);
  });

  it("skips events for one that does not keep up, and what it gets is whole", async () => {
    // More than the kernel takes off our hands.
    const inFlight = Array.from({ length: 40_000 }, (_, index) => uploadWith({ imageId: `image ${index}` }));
    let seconds = 0;
    const served = await serve(() => overviewAt((seconds += 1), { inFlight, finished: [uploadWith({})] }));
    const slow = await watch(served.port);
    await slow.has(1);
    slow.response.pause();
    const quick = await watch(served.port);
    await quick.has(4);
    slow.response.resume();
    await slow.has(3);
    const times = slow.events.map(({ now }) => new Date(now).getSeconds());
    expect(slow.events.every((event) => event.inFlight.length === 40_000)).toBe(true);
    expect(times.some((time, index) => index > 0 && time > (times[index - 1] ?? 0) + 1)).toBe(true);
  });

  it("has 100 places: the next page takes the place of the oldest page of the address with most", async () => {
    const served = await serve(() => overviewAt(0));
    const other = await watch(served.port, "127.0.0.2");
    const streams: Stream[] = [];
    for (let count = 0; count < 99; count += 1) streams.push(await watch(served.port));
    const [first, second, ...rest] = streams;
    const newcomer = await watch(served.port, "127.0.0.3");
    await newcomer.has(1);
    await expect.poll(() => first?.response.destroyed).toBe(true);
    await (await watch(served.port)).has(1);
    await expect.poll(() => second?.response.destroyed).toBe(true);
    const others = [other, newcomer, ...rest];
    expect(others.filter(({ response }) => response.destroyed)).toEqual([]);
    expect(await served.connections()).toBe(100);
  });

  it("ends if the data cannot be collected, and logs the reason", async () => {
    const served = await serve(() => {
      throw new Error("a worker does not answer");
    });
    const stream = await watch(served.port);
    await expect.poll(() => stream.response.destroyed).toBe(true);
    expect(served.logged.join()).toContain("a worker does not answer");
  });
});

describeWith(["openssl"], "a watcher that reads nothing", () => {
  it("is dropped, and those that read are not, over plain TCP and over TLS", async () => {
    const authority = await createAuthority();
    cleanUp.push(() => void authority.remove());
    const { certFile, keyFile } = await authority.issue("127.0.0.1");
    await Promise.all([dropsSilent({}), dropsSilent({ certFile, keyFile })]);
  });

  async function dropsSilent(tls: object): Promise<void> {
    const isSecure = Object.keys(tls).length > 0;
    const port = await startAdmin(tls);
    const open = async (): Promise<Peer> => {
      const options = { port, host: "127.0.0.1", rejectUnauthorized: false };
      const socket = isSecure ? connectTls(options) : connectPlain(options);
      cleanUp.push(() => socket.destroy());
      await once(socket, isSecure ? "secureConnect" : "connect");
      return new Peer(socket).sendHead("GET", "/events");
    };
    const silent = (await open()).pause();
    const reading = await open();
    let events = 0;
    reading.socket.on("data", (piece: Buffer) => {
      if (piece.includes("\n\n")) events += 1;
    });
    // Events come each second. From the fifth at the latest, nothing moves on the silent connection for twice ten seconds.
    await expect.poll(() => events, { timeout: 40_000 }).toBeGreaterThan(26);
    await silent.closed(2_000);
    const before = events;
    await expect.poll(() => events, { timeout: 5_000 }).toBeGreaterThan(before);
  }

  /** Of an admin server whose events are more than the kernel takes off its hands. */
  async function startAdmin(tls: object): Promise<number> {
    const config = parseConfig({
      upstream: { url: "http://127.0.0.1:1" },
      admin: { address: "127.0.0.1:0", tls },
    });
    const inFlight = Array.from({ length: 5_000 }, (_, index) => uploadWith({ imageId: `image ${index}` }));
    const metrics = createMetrics();
    const admin = createAdminServer({
      config,
      upstream: createUpstream(config.upstream),
      log: createLog("silent"),
      metrics,
      lastActivity: () => 0,
      isListening: () => true,
      workers: () => 1,
      scrape: () => metrics.registry.metrics(),
      uploads: () => Promise.resolve({ inFlight, finished: [] }),
      totals: () => metrics.totals,
    });
    cleanUp.push(() => admin.close());
    return Number(new URL(await admin.listen()).port);
  }
});
