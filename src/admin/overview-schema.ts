/**
 * The schema of the data of an `/events` event. The types in overview.ts and events.ts are derived from the schema, and
 * `docs/schemas/events.json` is rendered from it. The request path does not load this file. Pure.
 */
import { z } from "zod";
import { byteCount, timestamp, uploadsSchema } from "../observe/uploads-schema.js";
import { OUTCOMES } from "../vocabulary/outcomes.js";

const { inFlight, finished } = uploadsSchema.unwrap().shape;

const overview = z.strictObject({
  version: z.string().describe("Of the proxy."),
  startedAt: timestamp.describe("When the proxy started."),
  now: timestamp.describe("The time of this event. Rates are differences over it."),
  state: z.enum(["ready", "draining", "not_listening", "glance_silent", "glance_unreachable"]),
  glance: z.enum(["answers", "slow", "busy"]).optional().describe("Present if `state` is `ready`."),
  workers: z.int().nonnegative().describe("Processes that take requests."),
  totals: z
    .strictObject({
      receivedBytes: byteCount.describe(
        "Including bytes that were read only to be discarded after a refusal.",
      ),
      forwardedBytes: byteCount,
      outcomes: z.record(z.enum(OUTCOMES), z.int().nonnegative()).readonly(),
    })
    .readonly()
    .describe("Of all uploads since the start."),
  inFlight,
  finished,
});

export const overviewSchema = overview.readonly();

export const eventSchema = overview
  .extend({
    finished: finished
      .exactOptional()
      .describe("The last 100, the newest first. Absent if nothing has changed."),
  })
  .readonly()
  .meta({ title: "Data of an event of GET /events" });
