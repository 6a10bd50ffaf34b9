/** The live page as it was built, and what browsers may do with it. */
import { fileURLToPath } from "node:url";
import express, { type RequestHandler, type Router } from "express";

/** The same from `src` and from `dist`. */
const DIRECTORY = fileURLToPath(new URL("../../dist/admin/page/", import.meta.url));

/** Only this very address is asked for anything, only its files are run, and no text is ever taken for HTML. */
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
  // The names of assets change with their content; the page itself is asked for again each time.
  return express
    .Router()
    .use("/assets", express.static(`${DIRECTORY}assets`, { immutable: true, maxAge: "1y", redirect: false }))
    .use(express.static(DIRECTORY, { redirect: false }));
}
