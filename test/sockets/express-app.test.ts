import { createServer } from "node:http";
import express from "express";
import request from "supertest";
import { expect, it } from "vitest";
import { messagesOf } from "../../src/client/express-app.js";

it("an app leaves the prototypes of such messages as they are, and finds itself in them", async () => {
  const app = express();
  const server = createServer(messagesOf(app));
  const seen: object[] = [];
  const look = (...messages: readonly object[]): void => {
    for (const message of messages) seen.push(Object.getPrototypeOf(message) as object);
  };
  server.on("request", look).on("request", app);
  app.use((incoming, response) => {
    look(incoming, response);
    response.json({ same: incoming.app === app && response.app === app, ip: incoming.ip });
  });
  const answer = await request(server).get("/");
  expect(answer.body).toEqual({ same: true, ip: expect.stringContaining("127.0.0.1") as string });
  expect(seen).toHaveLength(4);
  expect(seen[2]).toBe(seen[0]);
  expect(seen[3]).toBe(seen[1]);
});
