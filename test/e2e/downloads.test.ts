/** Downloads stream: nobody is faster than the slowest, and an answer cut short stays cut short. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { describe, expect, it } from "vitest";
import { IncompleteResponse, request } from "../support/raw-http.js";
import { useScene } from "./scene.js";

const scene = useScene();
const IMAGE = "/v2/images/one/file";
const PIECE = Buffer.alloc(256 * 1024, "x");

/** An upstream that sends without end, as fast as it is read. */
function endless() {
  const state = { sentBytes: 0, paused: false, closed: false };
  scene.upstream.onOther = (_incoming: IncomingMessage, response: ServerResponse) => {
    response.once("close", () => {
      state.closed = true;
    });
    const send = (): void => {
      state.paused = false;
      while (!state.closed && !state.paused) {
        state.sentBytes += PIECE.length;
        state.paused = !response.write(PIECE);
      }
    };
    response.on("drain", send);
    send();
  };
  return state;
}

it("a downloaded image arrives whole", async () => {
  const size = 40 * PIECE.length;
  scene.upstream.onOther = (_incoming, response) => {
    response.writeHead(200, { "content-length": size });
    for (let sent = 0; sent < size; sent += PIECE.length) response.write(PIECE);
    response.end();
  };
  const peer = await scene.connect();
  peer.sendHead("GET", IMAGE);
  const answer = await peer.response();
  expect(answer.body).toHaveLength(size);
  expect(answer.body.every((byte) => byte === 0x78)).toBe(true);
});

it("the head of an answer does not wait for the body", async () => {
  let goOn: (() => void) | undefined;
  scene.upstream.onOther = (_incoming, response) => {
    response.writeHead(200, { "content-length": 5 }).flushHeaders();
    goOn = () => response.end("hello");
  };
  const peer = await scene.connect();
  peer.sendHead("GET", IMAGE);
  await expect.poll(() => peer.unread.includes("\r\n\r\n")).toBe(true);
  goOn?.();
  expect((await peer.response()).text).toBe("hello");
});

it("an answer that is broken from its beginning becomes 502", async () => {
  scene.upstream.onOther = (incoming) => {
    incoming.socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nrubbish\r\n");
  };
  const answer = await request(scene.proxy.port, "GET", IMAGE);
  expect(answer).toMatchObject({ status: 502, statusText: "Bad Gateway" });
  expect(await scene.proxy.metric('upstream_errors_total{kind="protocol"}')).toBe(1);
  expect(await scene.proxy.metric('upstream_errors_total{kind="truncated"}')).toBe(0);
});

it("a client that does not read holds Glance back, and one that leaves ends the download", async () => {
  const state = endless();
  const peer = await scene.connect();
  peer.pause().sendHead("GET", IMAGE);
  let before = -1;
  await expect
    .poll(
      () => {
        const still = state.paused && state.sentBytes === before;
        before = state.sentBytes;
        return still;
      },
      { interval: 100, timeout: 5_000 },
    )
    .toBe(true);
  expect(state.sentBytes).toBeLessThan(64 * 1024 * 1024);
  peer.resume();
  await expect.poll(() => state.sentBytes).toBeGreaterThan(before);
  peer.destroy();
  await expect.poll(() => state.closed).toBe(true);
  expect(await scene.proxy.metric('upstream_errors_total{kind="truncated"}')).toBe(0);
});

it("a client that leaves before there is an answer ends the request to Glance", async () => {
  let closed = false;
  scene.upstream.onOther = (_incoming, response) => {
    response.once("close", () => {
      closed = true;
    });
  };
  const peer = await scene.connect();
  peer.sendHead("GET", IMAGE);
  await expect.poll(() => scene.upstream.requests.length).toBe(1);
  peer.reset();
  await expect.poll(() => closed).toBe(true);
  await expect.poll(() => scene.proxy.metric('requests_total{method="GET",status="499"}')).toBe(1);
});

describe("an answer that Glance cuts short", () => {
  it.each([
    ["with a length", { "content-length": "1000" }],
    ["chunked", {}],
  ])("%s is not passed on as whole", async (_, headers) => {
    scene.upstream.onOther = (incoming, response) => {
      response.writeHead(200, headers);
      response.write("only this much", () => incoming.socket.destroy());
    };
    const peer = await scene.connect();
    peer.sendHead("GET", IMAGE);
    const error: unknown = await peer.response().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(IncompleteResponse);
    expect((error as IncompleteResponse).head?.status).toBe(200);
    await expect.poll(() => scene.proxy.metric('upstream_errors_total{kind="truncated"}')).toBe(1);
  });

  it("is reset for a client of HTTP/1.0, which would take another end for that of the answer", async () => {
    scene.upstream.onOther = (incoming, response) => {
      response.writeHead(200);
      response.write("only this much", () => incoming.socket.destroy());
    };
    const peer = await scene.connect();
    peer.send(`GET ${IMAGE} HTTP/1.0\r\nHost: glance.test\r\n\r\n`);
    expect(await peer.closed()).toBe("reset");
  });

  it("by sending nothing more ends after upstream.responseTimeout", async () => {
    const impatient = await scene.startAnother({ upstream: { responseTimeout: "200ms" } });
    scene.upstream.onOther = (_incoming, response) => {
      response.writeHead(200, { "content-length": "1000" }).write("only this much");
    };
    const peer = await scene.connect(impatient.port);
    peer.sendHead("GET", IMAGE);
    await expect(peer.response()).rejects.toThrow(IncompleteResponse);
  });
});
