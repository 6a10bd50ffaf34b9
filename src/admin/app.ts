/** What operators see: metrics, health and uploads in flight. Its own address, which clients do not reach. */
import express, { type Express } from "express";
import type { Metrics } from "../observe/metrics.js";
import type { UploadsRegistry } from "../observe/uploads-registry.js";
import type { Readiness } from "./readiness.js";

export interface AdminOptions {
  readonly metrics: Metrics;
  readonly uploads: UploadsRegistry;
  readonly readiness: Readiness;
}

export function createAdminApp({ metrics, uploads, readiness }: AdminOptions): Express {
  const app = express().disable("x-powered-by");
  app.get("/metrics", async (_request, response) => {
    response.type(metrics.registry.contentType).send(await metrics.registry.metrics());
  });
  app.get("/livez", (_request, response) => {
    response.json({ status: "ok" });
  });
  app.get("/readyz", async (_request, response) => {
    const state = await readiness.check();
    response.status(state === "ready" ? 200 : 503).json({ status: state });
  });
  app.get("/uploads", (_request, response) => {
    response.json(uploads.snapshot());
  });
  return app;
}
