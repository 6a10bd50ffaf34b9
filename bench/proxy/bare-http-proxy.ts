/** http-proxy and nothing else: what a Node proxy costs that was written in an afternoon. */
import httpProxy from "http-proxy";
import { fail, serve, target } from "./bare-server.js";

const proxy = httpProxy.createProxyServer({ target });
proxy.on("error", (error, _request, response) => fail(error, response));
serve((request, response) => proxy.web(request, response));
