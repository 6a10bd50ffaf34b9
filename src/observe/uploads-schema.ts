/**
 * The schema of the answer to `/uploads`. The types in uploads-registry.ts are derived from the schema, and
 * `docs/schemas/uploads.json` is rendered from it. The request path does not load this file. Pure.
 */
import { z } from "zod";
import { CLIENT_KINDS, OPERATIONS, SIZE_SOURCES } from "../vocabulary/labels.js";
import { OUTCOMES } from "../vocabulary/outcomes.js";

export const byteCount = z.int().nonnegative();
export const timestamp = z.iso.datetime();

export const uploadSchema = z
  .strictObject({
    requestId: z.string().describe("The same as in the log line of the upload."),
    imageId: z.string().describe("Cut to 64 characters."),
    operation: z.enum(OPERATIONS),
    client: z.enum(CLIENT_KINDS).describe("The client program, as far as its `User-Agent` tells."),
    sizeSource: z.enum(SIZE_SOURCES).describe("Where the size was learned."),
    sizeRule: z
      .string()
      .optional()
      .describe(
        "What decided about an upload of unknown size: the index of a rule in `size.rules`, or `default` for `size.unknown`. Absent if the client declared a size.",
      ),
    declaredBytes: byteCount.optional().describe("Absent if nobody declared a size."),
    receivedBytes: byteCount.describe("Image data read from the client."),
    forwardedBytes: byteCount.describe("Image data handed to the connection to Glance."),
    startedAt: timestamp,
    durationSeconds: z.number().nonnegative().describe("Up to now, or up to its end."),
    outcome: z.enum(OUTCOMES).optional().describe("How it ended. Absent while it is in flight."),
  })
  .readonly()
  .meta({ id: "upload" });

export const uploadsSchema = z
  .strictObject({
    inFlight: z.array(uploadSchema).readonly(),
    finished: z.array(uploadSchema).readonly().describe("The last 100, the newest first."),
  })
  .readonly()
  .meta({ title: "Answer of GET /uploads" });
