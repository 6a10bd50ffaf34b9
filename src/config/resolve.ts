/** Merges the layers, checks the values with the schema, and turns each issue into a fault with the value's source. Pure. */
import type { z } from "zod";
import { ConfigError } from "./config-error.js";
import { faultLine, type Given } from "./fault.js";
import type { Key, Section } from "./keys.js";
import type { Layer } from "./layer.js";

/**
 * Merges layers, of which a later one overrides an earlier one, and checks the result. An overridden value is not checked.
 *
 * @param missing returns the advice for a required key that is not set, or undefined for no fault.
 * @throws ConfigError with the faults of every layer and of the result.
 */
export function resolve<Schema extends z.ZodObject>(
  schema: Schema,
  root: Section,
  layers: readonly Layer[],
  missing: (key: Key) => string | undefined,
): z.output<Schema> {
  const values = new Map(layers.flatMap((layer) => [...layer.values]));
  const result = schema.safeParse(assemble(root, values) ?? {}, {
    // zod calls this only if the schema has no message of its own.
    error: ({ path }) => {
      const key = keyAt(root, path ?? [])?.key;
      return key === undefined ? undefined : `must be ${key.takes}`;
    },
  });
  const refused = result.success
    ? []
    : result.error.issues.map((issue) => {
        const { key, rest } = keyAt(root, issue.path) ?? {};
        if (key === undefined) return faultLine(issue.path.join("."), undefined, issue.message);
        const given = values.get(key.name);
        if (given !== undefined) {
          const value = rest?.reduce<unknown>(itemOf, given.value);
          return faultLine(key.name, { value, from: given.from }, issue.message);
        }
        if (!key.required) return faultLine(key.name, undefined, issue.message);
        const wrong = missing(key);
        return wrong === undefined ? undefined : faultLine(key.name, undefined, `missing: ${wrong}`);
      });
  const faults = [
    ...layers.flatMap((layer) => layer.faults),
    ...refused.filter((fault) => fault !== undefined),
  ];
  if (result.success && faults.length === 0) return result.data;
  throw new ConfigError(faults);
}

/** Nests the values. An optional section without values is absent, so that zod applies the section's default. */
function assemble(section: Section, values: ReadonlyMap<string, Given>): Record<string, unknown> | undefined {
  const entries = [...section.children].flatMap(([name, child]): [string, unknown][] => {
    if (child.kind === "section") {
      const content = assemble(child, values);
      return content === undefined ? [] : [[name, content]];
    }
    const given = values.get(child.name);
    return given === undefined ? [] : [[name, given.value]];
  });
  return entries.length === 0 && section.optional ? undefined : Object.fromEntries(entries);
}

/** @returns the key at a path of the schema, and the rest of the path: the index in a list. */
function keyAt(
  root: Section,
  path: readonly PropertyKey[],
): { key: Key; rest: readonly PropertyKey[] } | undefined {
  let section = root;
  for (const [index, step] of path.entries()) {
    const child = section.children.get(String(step));
    if (child?.kind === "key") return { key: child, rest: path.slice(index + 1) };
    if (child === undefined) return undefined;
    section = child;
  }
  return undefined;
}

function itemOf(value: unknown, step: PropertyKey): unknown {
  return Array.isArray(value) ? (value as unknown[])[Number(step)] : value;
}
