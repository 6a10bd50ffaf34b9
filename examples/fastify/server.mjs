// The proxy in a Fastify app, beside routes of your own. Fastify hands the raw request and response over.
//
//   GLANCE_URL=http://127.0.0.1:19292 PORT=9292 node server.mjs
//
// docs/middleware.md says what each option of the server is for.
import { createServer } from "node:http";
import { fastify } from "fastify";
import { createGlanceSizeProxy } from "glance-size-proxy";

const { GLANCE_URL = "http://127.0.0.1:19292", PORT = "9292" } = process.env;

const proxy = createGlanceSizeProxy({ upstream: { url: GLANCE_URL } });

const app = fastify({
  serverFactory: (handler) =>
    createServer({ requestTimeout: 0, maxHeaderSize: 64 * 1024, keepAliveTimeout: 75_000 }, handler)
      // Without this line Node asks the client for the body before the proxy has looked at the head.
      .on("checkContinue", handler),
});

app.get("/metrics", async (_request, reply) => {
  reply.type(proxy.registry.contentType);
  return proxy.registry.metrics();
});

// What is registered here applies to the proxy's routes alone: your own routes keep Fastify's body parsers.
app.register((glance, _options, done) => {
  glance.removeAllContentTypeParsers();
  glance.addContentTypeParser("*", (_request, _body, parsed) => parsed(null)); // reads nothing: the proxy reads the body
  glance.all("/*", (request, reply) => {
    reply.hijack(); // Fastify sends no answer of its own
    proxy(request.raw, reply.raw);
  });
  done();
});

console.log(`listening on ${await app.listen({ port: Number(PORT), host: "127.0.0.1" })}`);
