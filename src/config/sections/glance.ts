/** The keys of the side towards Glance. Part of the schema. */
import { z } from "zod";
import { requireTlsForFiles } from "../rules.js";
import { upstreamTls } from "../tls-keys.js";
import { durationMs, upstreamUrl } from "../values.js";

export const upstream = z
  .strictObject({
    url: upstreamUrl.describe(
      "URL of Glance: `http://HOST:PORT[/PATH]`, `https://...` or `unix:/PATH/OF/SOCKET`. Required. If it has a " +
        "PATH, the proxy puts PATH in front of every request path.",
    ),
    connectTimeout: durationMs
      .prefault("5s")
      .describe(
        "Maximum time to open a connection to Glance before the request fails with 504. 0 means the operating system's " +
          "limit.",
      ),
    responseTimeout: durationMs
      .prefault("1h")
      .describe(
        "How long Glance may neither read the body nor answer before the request fails with 504. The default is " +
          "long because a store may flush or detach a volume for many minutes before Glance answers an upload. 0 " +
          "means no limit.",
      ),
    tls: upstreamTls.prefault({}).describe("TLS to Glance, if `upstream.url` is https."),
  })
  .superRefine(requireTlsForFiles);

export const readiness = z.strictObject({
  silence: durationMs
    .refine((ms) => ms > 0)
    .meta({ takes: "a time above 0 with a unit, such as 60s", expert: true })
    .prefault("60s")
    .describe(
      "How long Glance may leave the proxy's health request unanswered before `/readyz` returns 503 " +
        "(`glance_silent`) and `upstream_up` is 0. The time counts only while Glance sends no byte and reads no " +
        "byte of an upload, so a Glance whose workers are all busy stays ready. If a connection to Glance fails, " +
        "`/readyz` returns 503 at once.",
    ),
});
