/** What operators see: metrics, health and uploads in flight. Its own address, which clients do not reach. */
import express, { type Express } from "express";
import { Registry } from "prom-client";
import type { UploadsSnapshot } from "../observe/uploads-registry.js";
import type { Readiness } from "./readiness.js";

export interface AdminOptions {
  readonly readiness: Readiness;
  /** All metrics, as Prometheus reads them. */
  readonly scrape: () => Promise<string>;
  readonly uploads: () => Promise<UploadsSnapshot>;
}

export function createAdminApp({ readiness, scrape, uploads }: AdminOptions): Express {
  const app = express().disable("x-powered-by");
  app.get("/metrics", async (_request, response) => {
    response.type(Registry.PROMETHEUS_CONTENT_TYPE).send(await scrape());
  });
  app.get("/livez", (_request, response) => {
    response.json({ status: "ok" });
  });
  app.get("/readyz", async (_request, response) => {
    const state = await readiness.check();
    response.status(state === "ready" ? 200 : 503).json({ status: state });
  });
  app.get("/uploads", async (_request, response) => {
    response.json(await uploads());
  });
  return app;
}
