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
  access: z
    .enum(["none", "errors", "all"])
    .prefault("errors")
    .describe(
      "Requests other than uploads that log one line at `info`. `errors`: those answered with a status of 400 or " +
        "more, and those whose answer was broken off. The line has the path without its query. Requests that the " +
        "proxy itself refuses are logged in any case.",
    ),
  owner: z
    .boolean()
    .prefault(false)
    .describe(
      "Log the project that owns the image of each completed upload. The proxy looks the image up with the client's " +
        "token after the client has got its answer, and logs the upload then: one more request to Glance for each upload.",
    ),
});
