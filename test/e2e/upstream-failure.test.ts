/** A Glance that cannot be reached, does not answer or does not speak HTTP: told apart, and Glance-shaped. */
import dns from "node:dns";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, describe, expect, it, vi } from "vitest";
import { startHangingListener } from "../support/hanging-listener.js";
import { request } from "../support/raw-http.js";
import type { UploadScript } from "../support/recording-upstream.js";
import { FILE, SIZE, useScene } from "./scene.js";

const NOBODY = "http://127.0.0.1:1";
const scene = useScene();

const clean: (() => void)[] = [];
afterEach(() => {
  for (const one of clean.splice(0)) one();
});

async function hangingUrl(): Promise<string> {
  const listener = await startHangingListener();
  clean.push(() => listener.stop());
  return listener.url;
}

const requests = [
  ["GET", "/v2/images"],
  ["PUT", FILE],
] as const;

describe.each(requests)("%s %s", (method, target) => {
  const options = method === "PUT" ? { body: "hello" } : {};

  it("gets 502 if Glance refuses the connection", async () => {
    const alone = await scene.startAnother({}, NOBODY);
    const answer = await request(alone.port, method, target, options);
    expect(answer.status).toBe(502);
    expect(answer.text).toBe("502 Bad Gateway\n\nGlance cannot be reached.\n\n   ");
    expect(answer.headers["x-openstack-request-id"]).toMatch(/^req-/);
    expect(await alone.metric('upstream_errors_total{kind="connect"}')).toBe(1);
    expect(alone.logged).toContainEqual(
      expect.objectContaining({
        requestId: answer.headers["x-openstack-request-id"],
        status: 502,
        reason: "Glance cannot be reached.",
      }),
    );
  });

  it("gets 502 at once if both addresses of Glance refuse the connection", async () => {
    const alone = await scene.startAnother({}, "http://glance.test:1");
    const addresses = [
      { address: "127.0.0.1", family: 4 },
      { address: "::1", family: 6 },
    ];
    // Node tries both, and tells one error that names no system call.
    const lookup = vi.spyOn(dns, "lookup").mockImplementation((...args: unknown[]) => {
      (args.at(-1) as (error: null, found: unknown) => void)(null, addresses);
    });
    clean.push(() => lookup.mockRestore());
    const answer = await request(alone.port, method, target, options);
    expect(answer.text).toBe("502 Bad Gateway\n\nGlance cannot be reached.\n\n   ");
    expect(await alone.metric('upstream_errors_total{kind="connect"}')).toBe(1);
    expect(await alone.metric('rollbacks_total{result="unknown"}')).toBe(0);
  });

  it("gets 504 if the connection does not open in time", async () => {
    const url = await hangingUrl();
    const alone = await scene.startAnother({ upstream: { connectTimeout: "300ms" } }, url);
    const answer = await request(alone.port, method, target, options);
    expect(answer.status).toBe(504);
    expect(answer.text).toContain("Glance did not accept the connection in time");
    expect(await alone.metric('upstream_errors_total{kind="connect_timeout"}')).toBe(1);
  });

  it("waits for the connection if connectTimeout is 0", async () => {
    const patient = await scene.startAnother({ upstream: { connectTimeout: 0 } }, await hangingUrl());
    const answered = request(patient.port, method, target, options).then(() => "answered");
    // As long as the limit of the test before.
    expect(await Promise.race([answered, delay(300, "waiting")])).toBe("waiting");
    patient.stop();
    await answered.catch(() => undefined);
  });

  it("gets 504 if Glance does not answer in time, and the request is aborted", async () => {
    const impatient = await scene.startAnother({ upstream: { responseTimeout: "200ms" } });
    let closed = false;
    const hang: UploadScript = (incoming, response) => {
      response.writeContinue();
      incoming.resume();
      response.once("close", () => {
        closed = true;
      });
    };
    scene.upstream.onUpload = hang;
    scene.upstream.onOther = hang;
    const answer = await request(impatient.port, method, target, options);
    expect(answer.status).toBe(504);
    expect(answer.text).toContain("Glance did not answer in time");
    await expect.poll(() => closed).toBe(true);
    expect(await impatient.metric('upstream_errors_total{kind="timeout"}')).toBe(1);
    // Never asked twice.
    expect(
      scene.upstream.requests.filter((seen) => seen.method === method && seen.target === target),
    ).toHaveLength(1);
  });

  it("gets 502 if Glance closes without an answer", async () => {
    scene.upstream.onUpload = scene.upstream.onOther = (incoming) => void incoming.socket.destroy();
    const answer = await request(scene.proxy.port, method, target, options);
    expect(answer.status).toBe(502);
    expect(answer.text).toContain("Glance closed the connection before it answered");
    expect(await scene.proxy.metric('upstream_errors_total{kind="reset"}')).toBe(1);
  });

  it("gets 502 if the answer is not HTTP", async () => {
    scene.upstream.onUpload = scene.upstream.onOther = (incoming) => {
      incoming.socket.end("SSH-2.0-OpenSSH_9.2\r\n");
    };
    const answer = await request(scene.proxy.port, method, target, options);
    expect(answer.status).toBe(502);
    expect(answer.text).toContain("not valid HTTP");
    expect(await scene.proxy.metric('upstream_errors_total{kind="protocol"}')).toBe(1);
  });

  it("gets the error in the media type that it accepts", async () => {
    const alone = await scene.startAnother({}, NOBODY);
    const answer = await request(alone.port, method, target, {
      ...options,
      headers: { Accept: "application/json" },
    });
    expect(answer.headers["content-type"]).toBe("application/json");
    expect(answer.json()).toMatchObject({ code: "502 Bad Gateway", title: "Bad Gateway" });
  });
});

it("HEAD gets 502 without a body", async () => {
  const alone = await scene.startAnother({}, NOBODY);
  const peer = await scene.connect(alone.port);
  peer.sendHead("HEAD", "/v2/images");
  expect(await peer.response({ hasBody: false })).toMatchObject({ status: 502 });
  peer.sendHead("HEAD", "/v2/images");
  expect(await peer.response({ hasBody: false })).toMatchObject({ status: 502 });
});

it("an upload that Glance does not read on gets 504", async () => {
  const impatient = await scene.startAnother({
    upstream: { responseTimeout: "300ms" },
    rollback: { verify: false },
  });
  scene.upstream.onUpload = (incoming, response) => {
    response.writeContinue();
    incoming.pause();
  };
  const size = 32 * 1024 * 1024;
  const peer = await scene.connect(impatient.port);
  peer.sendHead("PUT", FILE, { "Content-Length": size, [SIZE]: size }).send(Buffer.alloc(size));
  expect((await peer.response()).status).toBe(504);
  expect(await peer.closed()).toBe("fin");
});
