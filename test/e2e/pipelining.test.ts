/** Requests sent without waiting for answers: each begins when the one before it is over. */
import { expect, it } from "vitest";
import { relayUnderTest } from "../support/proxy.js";
import { FILE, SIZE, useScene } from "./scene.js";

const scene = useScene();

it("a refused upload behind another request gets its answer", async () => {
  const peer = await scene.connect();
  peer.sendHead("GET", "/v2/images").sendHead("PUT", FILE, { [SIZE]: "x", "Content-Length": 0 });
  expect((await peer.response()).status).toBe(200);
  expect((await peer.response()).status).toBe(400);
});

it("two uploads of one image do not run at once", async () => {
  let atOnce = 0;
  let most = 0;
  scene.upstream.onUpload = (incoming, response) => {
    atOnce += 1;
    most = Math.max(most, atOnce);
    response.writeContinue();
    incoming.resume().once("end", () => {
      atOnce -= 1;
      response.writeHead(204).end();
    });
  };
  const peer = await scene.connect();
  for (const body of ["hello", "world"]) peer.sendHead("PUT", FILE, { "Content-Length": 5 }).send(body);
  expect((await peer.response()).status).toBe(204);
  if (relayUnderTest() === "raw") return void expect(await peer.closed()).toBe("fin"); // to be sent again
  expect((await peer.response()).status).toBe(204);
  expect(most).toBe(1);
  expect(scene.upstream.uploads).toHaveLength(2);
});

it("a client that leaves in the middle of several downloads leaves no connection to Glance", async () => {
  let open = 0;
  const piece = Buffer.alloc(1024 * 1024);
  scene.upstream.onOther = (_incoming, response) => {
    open += 1;
    response.once("close", () => {
      open -= 1;
    });
    const send = (): void => {
      while (response.write(piece));
      response.once("drain", send);
    };
    send();
  };
  const peer = await scene.connect();
  peer.pause();
  for (let count = 0; count < 4; count += 1) peer.sendHead("GET", FILE);
  await expect.poll(() => open).toBe(1);
  peer.destroy();
  await expect.poll(() => open).toBe(0);
  expect(scene.upstream.requests.filter(({ target }) => target === FILE)).toHaveLength(1);
});

it("a request behind one that is refused for its framing is not read", async () => {
  const peer = await scene.connect();
  peer.send(
    `PUT ${FILE} HTTP/1.1\r\nHost: a\r\nContent_Length: 60\r\n\r\nDELETE /v2/images/victim HTTP/1.1\r\nHost: a\r\n\r\n`,
  );
  expect((await peer.response()).status).toBe(400);
  await peer.closed();
  await scene.roundTrip();
  expect(scene.upstream.requests.filter(({ method }) => method === "DELETE")).toEqual([]);
});

it("a client that pipelines too many requests is disconnected", async () => {
  scene.upstream.onOther = () => undefined;
  const peer = await scene.connect();
  peer.sendHead("GET", "/v2/images");
  await expect.poll(() => scene.upstream.requests.length).toBe(1);
  for (let count = 0; count < 200; count += 1) peer.sendHead("GET", "/v2/images");
  await peer.closed();
  expect(scene.upstream.requests).toHaveLength(1);
});

it.each([
  ["GET", "", ""],
  ["POST", "Content-Length: 2\r\n", "{}"],
  ["PUT", "Content-Length: 5\r\n", "hello"],
])("behind a %s that would switch protocols nothing more is read", async (method, framing, body) => {
  const target = method === "PUT" ? FILE : "/v2/images";
  const second = "GET /second HTTP/1.1\r\nHost: a\r\n\r\n";
  const peer = await scene.connect();
  const upgrade = "Connection: upgrade\r\nUpgrade: h2c\r\n";
  peer.send(
    `${method} ${target} HTTP/1.1\r\nHost: a\r\n${upgrade}${framing}\r\n${body}${second.slice(0, 9)}`,
  );
  const { status, headers } = await peer.response();
  expect([status < 300, headers["connection"]]).toEqual([true, "close"]);
  peer.send(second.slice(9) + second);
  expect(await peer.closed()).toBeDefined();
  expect(scene.upstream.requests.map(({ method: seen }) => seen)).toEqual([method]);
});
