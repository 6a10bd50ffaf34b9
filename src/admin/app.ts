/** The routes for operators: live page, metrics, health checks and uploads. Served on the admin address only. */
import express, { type Express, type RequestHandler } from "express";
import { Registry } from "prom-client";
import { findUploads } from "../observe/find-uploads.js";
import type { Log } from "../observe/log.js";
import { createEvents } from "./events.js";
import { createOverview, type OverviewSources } from "./overview.js";
import { restrictBrowsers, servePage } from "./serve-page.js";

export interface AdminOptions extends OverviewSources {
  /** @returns all metrics in the text format of Prometheus. */
  readonly scrape: () => Promise<string>;
  readonly log: Log;
  /** Refuses requests, except for `/livez` and `/readyz`: whoever probes has neither a token nor a certificate. */
  readonly guard: RequestHandler;
}

export function createAdminApp(options: AdminOptions): Express {
  const { readiness, scrape, uploads, log, guard } = options;
  const app = express().disable("x-powered-by").use(restrictBrowsers);
  app.get("/livez", (_request, response) => {
    response.json({ status: "ok" });
  });
  app.get("/readyz", async (_request, response) => {
    const state = await readiness.check();
    response.status(state.status === "ready" ? 200 : 503).json(state);
  });
  app.use(guard);
  app.get("/metrics", async (_request, response) => {
    response.type(Registry.PROMETHEUS_CONTENT_TYPE).send(await scrape());
  });
  app.get("/uploads", async (request, response) => {
    const { q } = request.query;
    response.json(typeof q === "string" ? findUploads(await uploads(), q) : await uploads());
  });
  app.get("/events", createEvents({ overview: createOverview(options), log }));
  return app.use(servePage());
}
