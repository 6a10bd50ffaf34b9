/** The schema of a hook's body. `docs/schemas/hook.json` is rendered from it. The request path does not load this file. Pure. */
import { z } from "zod";
import { timestamp, uploadSchema } from "../observe/uploads-schema.js";

export const hookSchema = z
  .strictObject({
    type: z.literal("upload.finished"),
    timestamp: timestamp.describe("When the upload ended."),
    data: uploadSchema,
  })
  .readonly()
  .meta({ title: "Body of a request to hooks.url" });

export type HookBody = z.infer<typeof hookSchema>;
