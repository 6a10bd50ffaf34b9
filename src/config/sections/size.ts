/** The keys about the size of an upload. Part of the schema. */
import { z } from "zod";
import { CLIENT_KINDS, OPERATIONS, UNKNOWN_SIZE_POLICIES } from "../../vocabulary/labels.js";
import { hintName, storeId } from "../values.js";

/** Bounds the label values of `unknown_size_rules_total`. */
const MOST_SIZE_RULES = 100;

const sizeRule = z.strictObject({
  client: z
    .array(z.enum(CLIENT_KINDS))
    .min(1)
    .meta({ takes: `a list of at least one of ${CLIENT_KINDS.join(", ")}` })
    .optional()
    .describe(
      "The rule applies only to these client programs, the label values of `undeclared_uploads_total`.",
    ),
  store: z
    .array(storeId)
    .min(1)
    .meta({ takes: "a list of at least one store identifier, such as ceph" })
    .optional()
    .describe(
      "The rule applies only to uploads to these stores of Glance. An upload names its store in the header " +
        "`x-image-meta-store`; otherwise it is `size.defaultStore`.",
    ),
  operation: z
    .enum(OPERATIONS)
    .optional()
    .describe("The rule applies only to `PUT .../file` (`file`) or only to `PUT .../stage` (`stage`)."),
  unknown: z.enum(UNKNOWN_SIZE_POLICIES).describe("What to do, as in `size.unknown`."),
});

export const size = z.strictObject({
  hints: z
    .array(hintName)
    .prefault(["x-image-meta-size", "upload-length", "x-upload-content-length", "x-expected-entity-length"])
    .describe(
      "Request headers, in addition to `x-openstack-image-size`, in which clients may declare the size.",
    ),
  unknown: z
    .enum(UNKNOWN_SIZE_POLICIES)
    .prefault("forward")
    .describe(
      "What to do if the client declares no size. `forward`: send the body to Glance in chunks, counted but " +
        "without a size. `spool`: store the whole body first (see `spool`), then send it with its size. `reject`: " +
        "answer 411.",
    ),
  rules: z
    .array(sizeRule)
    .max(MOST_SIZE_RULES)
    .meta({
      takes: `a list of up to ${MOST_SIZE_RULES} rules, in a variable as JSON`,
      example: [
        { store: ["cinder"], unknown: "spool" },
        { client: ["curl", "browser"], operation: "file", unknown: "reject" },
      ],
    })
    .prefault([])
    .describe(
      "Exceptions to `size.unknown`. The first rule whose conditions all match decides. A rule without conditions " +
        "matches every upload. If no rule matches, `size.unknown` decides.",
    ),
  defaultStore: storeId
    .meta({ takes: "the identifier of a store, such as ceph", example: "ceph" })
    .optional()
    .describe(
      "Glance's default store (`[glance_store] default_backend`), to which an upload without `x-image-meta-store` " +
        "goes. Without this key, such an upload matches no rule of `size.rules` that has `store`.",
    ),
  reframe: z
    .boolean()
    .prefault(true)
    .describe(
      "Send every upload of declared size to Glance with `Content-Length`, whatever framing the client used. A " +
        "Glance before 2025.2 learns the size only from `Content-Length`.",
    ),
});
