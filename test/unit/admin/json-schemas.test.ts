/** The published JSON Schemas are those of the code. test/e2e/json-schemas.test.ts holds real answers against them. */
import { format } from "prettier";
import { expect, it } from "vitest";
import { z } from "zod";
import { eventSchema } from "../../../src/admin/overview-schema.js";
import { hookSchema } from "../../../src/hooks/hook-schema.js";
import { uploadsSchema } from "../../../src/observe/uploads-schema.js";
import { reportSchema } from "../../../src/report/report-schema.js";

function publish(schema: z.ZodType): Promise<string> {
  const published = z.toJSONSchema(schema, {
    override({ jsonSchema }) {
      // A later release may add fields, so a reader has to take those that it does not know.
      if (jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
      delete jsonSchema.readOnly; // of the types alone
      if (jsonSchema.format === "date-time") delete jsonSchema.pattern; // says the same at length
    },
  });
  return format(JSON.stringify(published), { parser: "json", printWidth: 110 });
}

it.each([
  ["uploads", uploadsSchema],
  ["events", eventSchema],
  ["report", reportSchema],
  ["hook", hookSchema],
])(
  "docs/schemas/%s.json is what the code says (write it anew with `npm run reference`)",
  async (name, schema) => {
    await expect(await publish(schema)).toMatchFileSnapshot(`../../../docs/schemas/${name}.json`);
  },
);
