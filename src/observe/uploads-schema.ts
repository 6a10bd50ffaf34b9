/**
 * The schema of the answer to `/uploads`. The types in uploads-registry.ts are derived from the schema, and
 * `docs/schemas/uploads.json` is rendered from it. The request path does not load this file. Pure.
 */
import { z } from "zod";
import { OPERATIONS, SIZE_SOURCES } from "../vocabulary/labels.js";
import { OUTCOMES, VERDICTS } from "../vocabulary/outcomes.js";
import { CLIENT_KINDS } from "./client-kind.js";

export const byteCount = z.int().nonnegative();
export const timestamp = z.iso.datetime();

export const uploadSchema = z
  .strictObject({
    requestId: z.string().describe("The same as in the log line of the upload."),
    imageId: z.string().describe("Cut to 64 characters."),
    operation: z.enum(OPERATIONS),
    client: z.enum(CLIENT_KINDS).describe("The client program, as far as its `User-Agent` tells."),
    sizeSource: z.enum(SIZE_SOURCES).describe("Where the size was learned."),
    declaredBytes: byteCount.optional().describe("Absent if nobody declared a size."),
    receivedBytes: byteCount.describe("Image data read from the client."),
    forwardedBytes: byteCount.describe("Image data handed to the connection to Glance."),
    startedAt: timestamp,
    durationSeconds: z.number().nonnegative().describe("Up to now, or up to its end."),
    outcome: z.enum(OUTCOMES).optional().describe("How it ended. Absent while it is in flight."),
    verdict: z
      .enum(VERDICTS)
      .optional()
      .describe(
        "Present with `enforce: false`: what `outcome` would have been with `enforce: true`. In flight: `completed`, unless the upload " +
          "breaks a rule already.",
      ),
    verdictReason: z.string().optional().describe("Which rule the upload breaks. Absent if it breaks none."),
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
