/** The published JSON Schema of the configuration file, for editors and for the Helm chart. Pure. */
import { z } from "zod";
import type { JsonSchema } from "./keys.js";
import { EXPERT_KEY } from "./reference.js";
import { configSchema } from "./schema.js";

/**
 * @returns a JSON Schema of draft 7, which editors and Helm support. No key is required: a flag or a variable can set `upstream.url`.
 *   A section may be empty, which is null in YAML. Rules between keys are not in the schema.
 */
export function renderJsonSchema(): JsonSchema {
  const written = z.toJSONSchema(configSchema, { io: "input", target: "draft-7" });
  const { $schema, ...schema } = written;
  return { $schema, title: "Configuration file of glance-size-proxy", ...publish(schema as JsonSchema) };
}

function publish({ takes, example, expert, required, ...schema }: JsonSchema): JsonSchema {
  const { description, properties, items, maximum } = schema;
  const texts = [
    description,
    ...(takes === undefined ? [] : [`Must be ${takes}.`]),
    ...(expert === true ? [EXPERT_KEY] : []),
  ];
  return {
    ...schema,
    ...(description === undefined ? {} : { description: texts.join(" ") }),
    ...(expert === true ? { "x-expert": true } : {}),
    ...(example === undefined ? {} : { examples: [example] }),
    ...(maximum === Number.MAX_SAFE_INTEGER ? { maximum: undefined } : {}),
    ...(items === undefined ? {} : { items: publishItem(items) }),
    ...(properties === undefined ? {} : { type: ["object", "null"], properties: publishEach(properties) }),
  };
}

/** An item that is a mapping has required keys, and is not null. */
function publishItem({ properties, required = [], ...item }: JsonSchema): JsonSchema {
  const published = publish(item);
  return properties === undefined
    ? published
    : { ...published, properties: publishEach(properties), required };
}

function publishEach(properties: Readonly<Record<string, JsonSchema>>): Record<string, JsonSchema> {
  return Object.fromEntries(Object.entries(properties).map(([name, schema]) => [name, publish(schema)]));
}
