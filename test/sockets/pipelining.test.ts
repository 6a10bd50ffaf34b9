/** Requests sent without waiting for answers, with middleware before the proxy that gives one of them up. */
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import express from "express";
import { afterEach, expect, it } from "vitest";
import { createOneAtATime } from "../../src/client/pipelining.js";
import { connect } from "../support/raw-http.js";

const cleanUp: (() => unknown)[] = [];
afterEach(() => {
  for (const act of cleanUp.splice(0)) act();
});

/** Answers a request when `answer` is called with its path. */
async function start() {
  const arrived = new Map<string, ServerResponse>();
  const begun: string[] = [];
  const app = express()
    .use((request, response, next) => {
      arrived.set(request.path, response);
      next();
    })
    .use(createOneAtATime())
    .use((request) => void begun.push(request.path));
  const server = createServer((request, response) => void app(request, response)).listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = await connect((server.address() as AddressInfo).port);
  cleanUp.push(
    () => client.destroy(),
    () => server.close(),
  );
  const send = async (path: string): Promise<void> => {
    client.sendHead("GET", path);
    await expect.poll(() => arrived.has(path)).toBe(true);
  };
  return { client, begun, send, answer: (path: string) => arrived.get(path)?.end(), arrived };
}

it("requests begin in their order, each after the answer to the one before it", async () => {
  const { client, begun, send, answer } = await start();
  for (const path of ["/1", "/2", "/3"]) await send(path);
  for (const path of ["/1", "/2", "/3"]) {
    await expect.poll(() => begun.at(-1)).toBe(path);
    answer(path);
    expect((await client.response()).status).toBe(200);
  }
  await send("/4");
  expect(begun).toEqual(["/1", "/2", "/3", "/4"]);
});

it.each([
  ["before the next one arrives", ["/1", "/2"], ["/3"]],
  ["after the next one has arrived", ["/1", "/2", "/3"], []],
])("if a waiting request is given up %s, no other begins in its place", async (_, before, after) => {
  const { client, begun, send, answer, arrived } = await start();
  for (const path of before) await send(path);
  arrived.get("/2")?.destroy();
  for (const path of after) await send(path);
  expect(begun).toEqual(["/1"]);
  answer("/1");
  expect((await client.response()).status).toBe(200);
  await client.closed();
  expect(begun).toEqual(["/1"]);
});
