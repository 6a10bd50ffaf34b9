/** httpxy and nothing else. */
import { createProxyServer } from "httpxy";
import { fail, serve, target } from "./bare-server.js";

const proxy = createProxyServer({ target });
serve((request, response) => {
  proxy.web(request, response).catch((error: unknown) => fail(error, response));
});
