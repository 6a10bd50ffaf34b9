/** The keys of the webhook. Part of the schema. */
import { z } from "zod";
import { durationMs } from "../values.js";

/** User info, a query or a fragment would be a secret in a place where configurations are shown. */
const hookUrl = z
  .codec(z.string(), z.custom<URL>(), {
    decode(value, context) {
      const url = /^https?:\/\/[^\s?#]+$/i.test(value) && URL.canParse(value) ? new URL(value) : undefined;
      if (url?.username === "" && url.password === "") return url;
      context.issues.push({ code: "custom", input: value });
      return z.NEVER;
    },
    encode: (url) => url.href,
  })
  .meta({
    takes: "an http or https URL, such as https://hooks.example/uploads, without user, query or fragment",
    example: "https://hooks.example/uploads",
    pattern: "^[Hh][Tt][Tt][Pp][Ss]?://[^\\s?#]+$",
  });

const positiveMs = durationMs
  .refine((ms) => ms > 0)
  .meta({ takes: "a time above 0 with a unit, such as 5s" });

export const hooks = z
  .strictObject({
    url: hookUrl
      .optional()
      .describe(
        "URL that receives a POST for each upload that has ended (docs/hooks.md). Redirects are not followed.",
      ),
    secretFile: z
      .string()
      .min(1)
      .optional()
      .meta({ takes: "the path of a file", example: "/etc/glance-size-proxy/hooks-secret" })
      .describe(
        "File with the secret that signs each request: `whsec_` and 24 to 64 bytes in base64, one secret per line. With two lines, " +
          "each request has two signatures, so that a secret can be replaced. Required by `hooks.url`. Read again on SIGHUP.",
      ),
    timeout: positiveMs.prefault("5s").describe("Maximum time for one request to `hooks.url`."),
    tries: z
      .int()
      .min(1)
      .max(20)
      .meta({ takes: "an integer from 1 to 20", expert: true })
      .prefault(5)
      .describe(
        "Maximum number of requests for one upload. After a refusal that will not change, there is only one.",
      ),
    backoff: positiveMs
      .meta({ expert: true })
      .prefault("1s")
      .describe(
        "Time before the second try. It doubles with each further try, up to one minute, and varies by half.",
      ),
    queue: z
      .int()
      .min(1)
      .meta({ takes: "an integer of at least 1", expert: true })
      .prefault(1000)
      .describe("Maximum number of uploads that wait for delivery. Beyond it, the oldest is dropped."),
  })
  .superRefine(({ url, secretFile }, context) => {
    if (url !== undefined && secretFile === undefined) {
      context.addIssue({
        code: "custom",
        path: ["secretFile"],
        message:
          "missing: hooks.url requires it, because every request is signed: set hooks.secretFile, or remove hooks.url",
      });
    }
    if (url === undefined && secretFile !== undefined) {
      context.addIssue({
        code: "custom",
        path: ["secretFile"],
        message: "has no effect without hooks.url: set hooks.url, or remove hooks.secretFile",
      });
    }
  });
