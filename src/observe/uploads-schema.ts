/**
 * The schema of the answer to `/uploads`. The types in uploads-registry.ts are derived from the schema, and
 * `docs/schemas/uploads.json` is rendered from it. The request path does not load this file. Pure.
 */
import { z } from "zod";
import { CLIENT_KINDS, OPERATIONS, ROLLBACK_RESULTS, SIZE_SOURCES, WAITS_FOR } from "../vocabulary/labels.js";
import { OUTCOMES, VERDICTS } from "../vocabulary/outcomes.js";

export const byteCount = z.int().nonnegative();
export const timestamp = z.iso.datetime();
const seconds = z.number().nonnegative();

export const uploadSchema = z
  .strictObject({
    requestId: z
      .string()
      .describe("The id of the upload in the proxy. The client's own, if it sent a valid one."),
    clientRequestId: z
      .string()
      .optional()
      .describe("The `X-Openstack-Request-Id` that the client sent, valid or not."),
    glanceRequestId: z
      .string()
      .optional()
      .describe("The `X-Openstack-Request-Id` of Glance's answer. Absent if Glance has not answered."),
    traceparent: z
      .string()
      .optional()
      .describe("The client's W3C `traceparent`. Absent if the client sent none, or an invalid one."),
    imageId: z.string().describe("Cut to 64 characters."),
    operation: z.enum(OPERATIONS),
    owner: z
      .string()
      .optional()
      .describe(
        "The project that owns the image. Absent if the proxy did not look the image up (see `log.owner`).",
      ),
    client: z.enum(CLIENT_KINDS).describe("The client program, as far as its `User-Agent` tells."),
    peer: z.string().optional().describe("The address from which the client or a load balancer connected."),
    userAgent: z.string().optional().describe("The client's `User-Agent`, cut to 256 characters."),
    sizeSource: z.enum(SIZE_SOURCES).describe("Where the size was learned."),
    sizeRule: z
      .string()
      .optional()
      .describe(
        "What decided about an upload of unknown size: the index of a rule in `size.rules`, or `default` for `size.unknown`. Absent if the client declared a size.",
      ),
    declaredBytes: byteCount.optional().describe("Absent if nobody declared a size."),
    invalidSize: z
      .string()
      .optional()
      .describe(
        'Name and value of the size header that is not valid, such as `upload-length: "5x"`; or two declared sizes that differ, such as ' +
          "`x-openstack-image-size: 5, Content-Length: 4`.",
      ),
    receivedBytes: byteCount.describe(
      "Image data read from the client. What the proxy reads after a refusal, only to discard it, does not count here, but in the metric " +
        "`upload_received_bytes_total`.",
    ),
    forwardedBytes: byteCount.describe("Image data handed to the connection to Glance."),
    startedAt: timestamp,
    durationSeconds: z.number().nonnegative().describe("Up to now, or up to its end."),
    waitsFor: z
      .enum(WAITS_FOR)
      .optional()
      .describe("Which side must act next. Absent if it has ended, or if the proxy itself must act."),
    waitClient: seconds.describe("Seconds for which the proxy waited for the client to send."),
    waitGlance: seconds.describe("Seconds for which the proxy waited for Glance to connect, read or answer."),
    lastByteToAnswer: seconds
      .optional()
      .describe(
        "Seconds between the last byte of the body and Glance's answer; part of `waitGlance`. Absent if Glance did not answer a " +
          "whole body.",
      ),
    spoolWrite: seconds.optional().describe("Seconds for which the upload waited for the spool to write."),
    spoolRead: seconds.optional().describe("Seconds for which the upload waited for the spool to read."),
    waitRollback: seconds
      .optional()
      .describe(
        "Seconds for which the proxy waited for Glance to set the image back. Absent without an abort.",
      ),
    outcome: z.enum(OUTCOMES).optional().describe("How it ended. Absent while it is in flight."),
    verdict: z
      .enum(VERDICTS)
      .optional()
      .describe(
        "Present with `enforce: false`: what `outcome` would have been with `enforce: true`. In flight: `completed`, unless the upload " +
          "breaks a rule already.",
      ),
    verdictReason: z.string().optional().describe("Which rule the upload breaks. Absent if it breaks none."),
    status: z
      .int()
      .optional()
      .describe(
        "HTTP status of the answer to the client; 499 if the client had disconnected. Absent while it is in flight, or if the worker " +
          "process died.",
      ),
    reason: z.string().optional().describe("Why the upload was refused or failed. Absent if it completed."),
    rollback: z
      .enum(ROLLBACK_RESULTS)
      .optional()
      .describe("State of the image after an abort. Absent without an abort."),
  })
  .readonly()
  .meta({ id: "upload" });

export const uploadsSchema = z
  .strictObject({
    inFlight: z.array(uploadSchema).readonly(),
    finished: z.array(uploadSchema).readonly().describe("The last 100, the newest first."),
  })
  .readonly()
  .meta({
    title: "Answer of GET /uploads",
    description:
      "With `?q=TEXT`, only the uploads with TEXT in `imageId`, `requestId`, `clientRequestId`, `glanceRequestId` or `traceparent`, in upper " +
      "or lower case. The search of the live page looks in more fields.",
  });
