// The proxy in an Express app, beside routes of your own.
//
//   GLANCE_URL=http://127.0.0.1:19292 PORT=9292 node server.mjs
//
// docs/middleware.md says what each option of the server is for.
import { createServer } from "node:http";
import express from "express";
import { createGlanceSizeProxy } from "glance-size-proxy";

const { GLANCE_URL = "http://127.0.0.1:19292", PORT = "9292" } = process.env;

const proxy = createGlanceSizeProxy({ upstream: { url: GLANCE_URL } });

const app = express();
app.get("/metrics", async (_request, response) => {
  response.type(proxy.registry.contentType).send(await proxy.registry.metrics());
});
// The proxy answers every request that reaches it, so it comes last. No body parser may come before it.
app.use(proxy);

const server = createServer({ requestTimeout: 0, maxHeaderSize: 64 * 1024, keepAliveTimeout: 75_000 }, app);
// Without this line Node asks the client for the body before the proxy has looked at the head.
server.on("checkContinue", app);
server.listen(Number(PORT), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
