/** `quota.precheck`: an upload that cannot fit into the project's quota is refused before any of it is read. */
import type { ServerResponse } from "node:http";
import { describe, expect, it } from "vitest";
import { request } from "../support/raw-http.js";
import { CHUNKED, FILE, SIZE, STAGE, useScene } from "./scene.js";

const MIB = 2 ** 20;
const scene = useScene({ quota: { precheck: "auto", timeout: "500ms" } });

/** As Glance tells it: all numbers in MiB. */
function tellUsage(usage: Record<string, { usage: number; limit: number } | undefined>): void {
  tell((response) => response.end(JSON.stringify({ usage })));
}

function tell(answer: (response: ServerResponse) => unknown): void {
  scene.upstream.onOther = (incoming, response) => {
    incoming.resume();
    answer(response);
  };
}

const asked = () => scene.upstream.requests.filter(({ target }) => target === "/v2/info/usage");

function upload(bytes: number, target = FILE, headers = {}) {
  return request(scene.proxy.port, "PUT", target, {
    headers: { "X-Auth-Token": "of-this-client", ...headers },
    body: Buffer.alloc(bytes),
  });
}

it("refuses an upload that does not fit, in Glance's words, and Glance sees none of it", async () => {
  tellUsage({ image_size_total: { usage: 7, limit: 9 } });
  scene.upstream.answerLookUp = (response) =>
    void response.end(JSON.stringify({ status: "queued", size: null, owner: "project-of-the-image" }));
  const peer = await scene.connect();
  peer.sendHead("PUT", FILE, {
    "Content-Length": 3 * MIB,
    Expect: "100-continue",
    "X-Auth-Token": "of-this-client",
  });
  const answer = await peer.response();
  expect(answer.status).toBe(413);
  expect(answer.text).toContain(
    "The response body: Project project-of-the-image is over a limit for [Resource image_size_total is over limit of 9 " +
      "due to current usage 7 and delta 3]",
  );
  expect(peer.interims).toEqual([]);
  expect(scene.upstream.uploads).toEqual([]);
  expect(asked()[0]?.headers["x-auth-token"]).toBe("of-this-client");
  expect(
    await scene.proxy.metric(
      'uploads_total{operation="file",outcome="too_large",size_source="content_length"}',
    ),
  ).toBe(1);
});

describe("lets an upload pass", () => {
  it.each([
    ["that fits exactly", { usage: 7, limit: 9 }, 2 * MIB],
    ["that fits in whole MiB, as Glance counts", { usage: 7, limit: 9 }, 3 * MIB - 1],
    ["of a project without a limit", { usage: 7, limit: -1 }, 3 * MIB],
    ["if Glance tells nothing of this quota", undefined, 3 * MIB],
  ])("%s", async (_, image_size_total, bytes) => {
    tellUsage({ image_size_total, image_stage_total: { usage: 1, limit: 0 } });
    expect((await upload(bytes)).status).toBe(204);
    expect(scene.upstream.uploads[0]?.bytes).toBe(bytes);
  });

  it.each([
    ["503", (response: ServerResponse) => response.writeHead(503).end()],
    [
      "404 of a router in front of Glance",
      (response: ServerResponse) => response.writeHead(404).end("<h1>404 Not Found</h1>"),
    ],
    ["401", (response: ServerResponse) => response.writeHead(401).end()],
    ["no JSON", (response: ServerResponse) => response.end("no JSON")],
    ["other JSON", (response: ServerResponse) => response.end("[]")],
    ["a reset", (response: ServerResponse) => response.socket?.resetAndDestroy()],
    ["nothing", () => undefined],
  ])("if the answer is %s, and asks again for the next", async (_, answer) => {
    tell(answer);
    expect((await upload(3 * MIB)).status).toBe(204);
    tellUsage({ image_size_total: { usage: 7, limit: 9 } });
    expect((await upload(3 * MIB)).status).toBe(413);
  });

  it.each([
    [
      "Glance's 404",
      (response: ServerResponse) => response.writeHead(404, { "X-Openstack-Request-Id": "req-1" }).end(),
    ],
    ["no usage at all", (response: ServerResponse) => response.end('{"usage": {}}')],
  ])("if the answer is %s, and does not ask again soon", async (_, answer) => {
    tell(answer);
    for (let count = 0; count < 3; count += 1) expect((await upload(3 * MIB)).status).toBe(204);
    expect(asked()).toHaveLength(1);
  });

  it("of unknown size, without asking", async () => {
    tellUsage({ image_size_total: { usage: 7, limit: 1 } });
    const answer = await request(scene.proxy.port, "PUT", FILE, {
      headers: CHUNKED,
      body: "1\r\nx\r\n0\r\n\r\n",
    });
    expect(answer.status).toBe(204);
    expect(asked()).toEqual([]);
  });

  it("of an image that the client cannot see, so that Glance says so", async () => {
    tellUsage({ image_size_total: { usage: 7, limit: 9 } });
    scene.upstream.answerLookUp = (response) => void response.writeHead(404).end();
    scene.upstream.onUpload = (incoming, response) => {
      incoming.resume();
      response.writeHead(404).end();
    };
    expect((await upload(3 * MIB)).status).toBe(404);
  });
});

it("data for the staging area has a quota of its own", async () => {
  tellUsage({ image_size_total: { usage: 7, limit: 9 }, image_stage_total: { usage: 0, limit: 100 } });
  expect((await upload(3 * MIB, STAGE)).status).toBe(204);
  tellUsage({ image_size_total: { usage: 0, limit: 100 }, image_stage_total: { usage: 7, limit: 9 } });
  const answer = await upload(3 * MIB, STAGE, { [SIZE]: 3 * MIB });
  expect(answer.status).toBe(413);
  expect(answer.text).toContain("image_stage_total is over limit of 9 due to current usage 7 and delta 3");
});

it("the place of a refused upload is free again", async () => {
  const proxy = await scene.startAnother({
    quota: { precheck: "auto" },
    limits: { maxConcurrentUploads: 1 },
  });
  tellUsage({ image_size_total: { usage: 7, limit: 9 } });
  for (let count = 0; count < 3; count += 1) {
    const answer = await request(proxy.port, "PUT", FILE, { body: Buffer.alloc(3 * MIB) });
    expect(answer.status).toBe(413);
  }
});

it("asks nothing by default", async () => {
  const proxy = await scene.startAnother({});
  tellUsage({ image_size_total: { usage: 7, limit: 1 } });
  expect((await request(proxy.port, "PUT", FILE, { body: "hello" })).status).toBe(204);
  expect(asked()).toEqual([]);
});

it("with enforce: false, an upload that does not fit is passed on, and the verdict tells it", async () => {
  tellUsage({ image_size_total: { usage: 7, limit: 9 } });
  const proxy = await scene.startAnother({ enforce: false, quota: { precheck: "auto" } });
  const { status } = await request(proxy.port, "PUT", FILE, { body: Buffer.alloc(3 * MIB) });
  expect(status).toBe(204);
  expect(scene.upstream.uploads).toMatchObject([{ bytes: 3 * MIB, complete: true }]);
  expect((await proxy.uploads()).finished).toMatchObject([{ outcome: "completed", verdict: "too_large" }]);
});
