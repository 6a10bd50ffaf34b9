/** The keys of the process itself. Part of the schema. */
import { z } from "zod";
import { durationMs } from "../values.js";

export const shutdown = z.strictObject({
  drainTimeout: durationMs
    .prefault(0)
    .describe("Maximum time for uploads in flight to finish after SIGTERM or SIGINT. 0 means no limit."),
});

export const workers = z
  .union([z.literal("auto"), z.int().min(1).max(1024)])
  .meta({ takes: "auto or an integer from 1 to 1024" })
  .prefault(1)
  .describe(
    "Number of worker processes. `auto`: one per CPU core. With more than one, a primary process serves the " +
      "admin address and aggregates metrics. Every limit applies to all workers together.",
  );

export const log = z.strictObject({
  level: z
    .enum(["debug", "info", "warn", "error", "silent"])
    .prefault("info")
    .describe("Minimum log level. Each upload logs one line at `info`."),
});
