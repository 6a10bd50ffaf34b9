/** Merged values, checked against the schema; what the schema refuses, as faults that say where it came from. Pure. */
import type { z } from "zod";
import { ConfigError } from "./config-error.js";
import { faultLine, type Given } from "./fault.js";
import type { Key, Section } from "./keys.js";
import type { Layer } from "./layer.js";

/**
 * Puts layers over one another, the last on top, and checks the outcome. A value that another one covers is not
 * checked: it has no effect.
 *
 * @param missing What to say of a required key that no layer has; undefined to say nothing.
 * @throws ConfigError with the faults of every layer and of the outcome.
 */
export function resolve<Schema extends z.ZodObject>(
  schema: Schema,
  root: Section,
  layers: readonly Layer[],
  missing: (key: Key) => string | undefined,
): z.output<Schema> {
  const values = new Map(layers.flatMap((layer) => [...layer.values]));
  const result = schema.safeParse(assemble(root, values) ?? {}, {
    // Asked only where the schema has no message of its own.
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

/** Nests the values. A section that has none is left out if it may be: its own default may differ from an empty one. */
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

/** The key that a path of the schema leads to, and what is left of the path: the place in a list. */
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
