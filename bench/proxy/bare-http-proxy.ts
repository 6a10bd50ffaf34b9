/** http-proxy and nothing else: what a Node proxy costs that was written in an afternoon. */
import httpProxy from "http-proxy";
import { serve } from "./bare-server.js";

const proxy = httpProxy.createProxyServer({ target: process.argv[2] });
proxy.on("error", (error, _request, response) => {
  process.stderr.write(`${error.message}\n`);
  response.destroy();
});
serve((request, response) => proxy.web(request, response));
