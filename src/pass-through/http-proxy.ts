/**
 * Loads http-proxy 1.18.1. It keeps `util._extend`, which makes Node 24 and later print a deprecation warning (DEP0060). So it gets
 * `Object.assign` in its place, while it is loaded and no longer.
 */
import { createRequire } from "node:module";
import type HttpProxy from "http-proxy";

const require = createRequire(import.meta.url);

function load(): typeof HttpProxy {
  const util = require("node:util") as { _extend: unknown };
  const extend = Object.getOwnPropertyDescriptor(util, "_extend");
  util._extend = Object.assign;
  try {
    return require("http-proxy") as typeof HttpProxy;
  } finally {
    if (extend) Object.defineProperty(util, "_extend", extend);
  }
}

export const httpProxy = load();
