/** Serves the built live page, with security headers for browsers. */
import { fileURLToPath } from "node:url";
import express, { type RequestHandler, type Router } from "express";

/** The same directory, whether this file runs from `src` or from `dist`. */
const DIRECTORY = fileURLToPath(new URL("../../dist/admin/page/", import.meta.url));

/** Browsers load, run and request only what this address serves, and never treat text as HTML. */
const POLICY = [
  "default-src 'none'",
  ...["script-src", "style-src", "img-src", "connect-src"].map((what) => `${what} 'self'`),
  ...["base-uri", "form-action", "frame-ancestors"].map((what) => `${what} 'none'`),
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

/** For every answer on the admin address. */
export const restrictBrowsers: RequestHandler = (_request, response, next) => {
  response.set({
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
  });
  next();
};

export function servePage(): Router {
  // The name of an asset contains a hash of its content, so browsers may cache it. The page itself has a fixed name.
  return express
    .Router()
    .use("/assets", express.static(`${DIRECTORY}assets`, { immutable: true, maxAge: "1y", redirect: false }))
    .use(express.static(DIRECTORY, { redirect: false }));
}
