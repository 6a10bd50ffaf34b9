/** The schema of `report --json`. `docs/schemas/report.json` is rendered from it. Pure. */
import { z } from "zod";
import { byteCount, timestamp } from "../observe/uploads-schema.js";
import { CLIENT_KINDS } from "../vocabulary/labels.js";
import { REFUSALS } from "./refusals.js";

const count = z.int().nonnegative();

const refusal = z
  .strictObject({
    verdict: z.enum(Object.keys(REFUSALS) as (keyof typeof REFUSALS)[]),
    status: z.string().describe("What the client gets, such as `400`."),
    uploads: count,
    example: z
      .strictObject({ requestId: z.string(), imageId: z.string(), reason: z.string().optional() })
      .describe("The first of these uploads."),
  })
  .readonly();

const client = z
  .strictObject({
    client: z.enum(CLIENT_KINDS),
    program: z.string().describe("The first word of the `User-Agent`, such as `curl/8.5.0`."),
    uploads: count,
    undeclared: count.describe("Uploads without a declared size."),
    refusals: z.array(refusal).readonly().describe("The most frequent first."),
    peers: z
      .array(z.strictObject({ address: z.string(), uploads: count }).readonly())
      .readonly()
      .describe("The addresses with the most uploads, at most 10."),
    otherPeers: count.describe("Uploads from other addresses."),
  })
  .readonly();

export const reportSchema = z
  .strictObject({
    lines: z
      .strictObject({
        read: count,
        broken: count.describe("Lines that are cut or are not of this program."),
      })
      .readonly(),
    from: timestamp.describe("When the first upload began."),
    to: timestamp.describe("When the last upload ended."),
    uploads: count,
    observed: count.describe("Uploads that ended with `enforce: false`."),
    refused: count.describe(
      "Uploads that would be refused with `enforce: true`, or that were refused with it.",
    ),
    undeclared: z
      .strictObject({
        uploads: count,
        totalBytes: byteCount,
        largestBytes: byteCount,
        peakBytes: byteCount.describe(
          "Maximum of all bodies in progress at the same time. Each is counted as a whole from its first to its last byte.",
        ),
        peakAt: timestamp.optional(),
      })
      .readonly()
      .describe("The uploads without a declared size, which is what the spool must hold."),
    clients: z.array(client).readonly().describe("The client with the most uploads first."),
    advice: z.array(z.string()).readonly().describe("What to do, in English."),
  })
  .readonly()
  .meta({ title: "Output of glance-size-proxy report --json" });

export type Report = z.infer<typeof reportSchema>;
export type ClientReport = z.infer<typeof client>;
