/** http-proxy and nothing else: what a Node proxy costs that was written in an afternoon. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import httpProxy from "http-proxy";

const proxy = httpProxy.createProxyServer({ target: process.argv[2] });
proxy.on("error", (error) => process.stderr.write(`${error.message}\n`));
const server = createServer({ requestTimeout: 0 }, (request, response) => proxy.web(request, response));
server.listen(0, "127.0.0.1", () => {
  process.stdout.write(`${String((server.address() as AddressInfo).port)}\n`);
});
