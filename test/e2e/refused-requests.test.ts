/** Requests that two servers could read in two ways: refused or cleaned, and no byte of them reaches Glance. */
import { describe, expect, it } from "vitest";
import { relayUnderTest } from "../support/proxy.js";
import { FILE, useScene } from "./scene.js";

const scene = useScene();
const CRLF = "\r\n";
const head = (...lines: string[]): string => [...lines, "", ""].join(CRLF);
const put = (...lines: string[]): string => head(`PUT ${FILE} HTTP/1.1`, "Host: glance.test", ...lines);

describe("refused before Glance hears of it:", () => {
  it.each<[string, number, string]>([
    ["gzip, chunked", 501, put("Transfer-Encoding: gzip, chunked") + "0\r\n\r\n"],
    ["chunked twice", 400, put("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + "0\r\n\r\n"],
    ["Content-Length: 05", 400, put("Content-Length: 05") + "hello"],
    ["a Content-Length over 2^53", 400, put("Content-Length: 9007199254740992")],
    ["Content-Length: +5", 400, put("Content-Length: +5") + "hello"],
    ["two Content-Lengths", 400, put("Content-Length: 5", "Content-Length: 5") + "hello"],
    [
      "Content-Length beside chunks",
      400,
      put("Content-Length: 5", "Transfer-Encoding: chunked") + "0\r\n\r\n",
    ],
    ["Content_Length alone", 400, put("Content_Length: 5") + "hello"],
    ["Transfer_Encoding alone", 400, put("Transfer_Encoding: chunked") + "0\r\n\r\n"],
    ["no length in HTTP/1.0", 400, head(`PUT ${FILE} HTTP/1.0`, "Host: a") + "hello"],
    ["two Hosts", 400, put("Host: other.test", "Content-Length: 0")],
    ["no Host", 400, head(`PUT ${FILE} HTTP/1.1`, "Content-Length: 0")],
    [
      "chunks in HTTP/1.0",
      400,
      head(`PUT ${FILE} HTTP/1.0`, "Host: a", "Transfer-Encoding: chunked") + "0\r\n\r\n",
    ],
    ["a folded header", 400, put("X-A: 1", " Content-Length: 5")],
    ["a bare LF", 400, put("X-A: 1\nContent-Length: 5")],
    ["a blank before the colon", 400, put("Content-Length : 5") + "hello"],
    ["absolute form", 400, head(`PUT http://glance.test${FILE} HTTP/1.1`, "Host: a", "Content-Length: 0")],
    ["a backslash", 400, head(`PUT /v2\\images/one/file HTTP/1.1`, "Host: a", "Content-Length: 0")],
    ["an encoded slash", 400, head(`PUT /v2%2Fimages/one/file HTTP/1.1`, "Host: a", "Content-Length: 0")],
    ["a fragment", 400, head(`PUT ${FILE}#x HTTP/1.1`, "Host: a", "Content-Length: 0")],
    ["_method", 400, head(`POST ${FILE}?_method=PUT HTTP/1.1`, "Host: a", "Content-Length: 0")],
    [
      "OPTIONS with chunks",
      400,
      head("OPTIONS /v2/images HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + "0\r\n\r\n",
    ],
    [
      "DELETE with chunks that hide a request",
      400,
      head("DELETE /v2/images/one HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") +
        "2b\r\nDELETE /v2/images/two HTTP/1.1\r\nHost: b\r\n\r\n\r\n0\r\n\r\n",
    ],
    [
      "Content-Length: 05 of another request",
      400,
      head("POST /v2/images HTTP/1.1", "Host: a", "Content-Length: 02") + "{}",
    ],
  ])("%s", async (_, status, text) => {
    const peer = await scene.connect();
    peer.send(text);
    const answer = await peer.response();
    expect(answer.status).toBe(status);
    expect(answer.headers["x-openstack-request-id"]).toMatch(/^req-/);
    expect(answer.text).toMatch(/^\d{3} [A-Z]/);
    await scene.roundTrip();
    expect(scene.upstream.requests.every(({ target }) => target === "/v2/schemas/image")).toBe(true);
  });
});

describe("another spelling of an upload", () => {
  it.each([
    `//v2//images/one//file`,
    `/v2/images/one/%66ile`,
    `/%762/images/%6fne/file`,
    "/v2/%69mages/one/%66%69%6c%65",
  ])("%s is enforced, and forwarded in the canonical spelling", async (target) => {
    const peer = await scene.connect();
    peer.sendHead("PUT", target, { "Transfer-Encoding": "chunked", "x-openstack-image-size": 5 });
    peer.sendChunk("hello!");
    expect((await peer.response()).status).toBe(400);
    const upload = await scene.uploadUpstream();
    await upload.over;
    expect(upload).toMatchObject({ target: FILE, complete: false });
  });

  it("without a version is enforced, because Glance finds the version in Accept", async () => {
    const peer = await scene.connect();
    peer.sendHead("PUT", "/images/one/file", {
      Accept: "application/vnd.openstack.images-v2.5",
      "Transfer-Encoding": "chunked",
      "x-openstack-image-size": 5,
    });
    peer.sendChunk("hello").endChunks();
    expect((await peer.response()).status).toBe(204);
    expect(scene.upstream.uploads[0]).toMatchObject({
      target: "/images/one/file",
      headers: { accept: "application/vnd.openstack.images-v2.5", "content-length": "5" },
    });
  });
});

it("bytes after a Content-Length body are the next request", async () => {
  const peer = await scene.connect();
  peer.send(put("Content-Length: 5") + "hello" + head("GET /versions HTTP/1.1", "Host: a"));
  expect((await peer.response()).status).toBe(204);
  if (relayUnderTest() === "raw") expect(await peer.closed()).toBe("fin");
  else expect((await peer.response()).text).toBe("GET /versions");
  expect(scene.upstream.uploads).toMatchObject([{ bytes: 5, complete: true }]);
});

it.each(["hello\r\n", "5\r\nhelloXX0\r\n\r\n", "-1\r\n", "ffffffffffffffffff\r\n"])(
  "a body with broken chunks, %j, is never completed",
  async (body) => {
    const peer = await scene.connect();
    peer.send(put("Transfer-Encoding: chunked"));
    const upload = await scene.uploadUpstream();
    peer.send(body);
    await upload.over;
    expect(upload.complete).toBe(false);
    await expect
      .poll(() =>
        scene.proxy.metric('uploads_total{operation="file",outcome="client_aborted",size_source="unknown"}'),
      )
      .toBe(1);
  },
);
