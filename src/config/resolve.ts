/** Merges the layers, checks the values with the schema, and turns each issue into a fault with the value's source. Pure. */
import type { z } from "zod";
import { ConfigError } from "./config-error.js";
import { faultLine, type Given } from "./fault.js";
import type { Key, Section } from "./keys.js";
import type { Layer } from "./layer.js";
import { nearest } from "./nearest.js";

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
      const place = placeAt(root, path ?? []);
      return place === undefined ? undefined : `must be ${place.takes}`;
    },
  });
  const refused = result.success
    ? []
    : result.error.issues.flatMap((issue) => faultsOf(issue, placeAt(root, issue.path), values, missing));
  const faults = [...layers.flatMap((layer) => layer.faults), ...refused];
  if (result.success && faults.length === 0) return result.data;
  throw new ConfigError(faults);
}

function faultsOf(
  issue: z.core.$ZodIssue,
  place: Place | undefined,
  values: ReadonlyMap<string, Given>,
  missing: (key: Key) => string | undefined,
): string[] {
  if (place === undefined) return [faultLine(issue.path.join("."), undefined, issue.message)];
  const { key, rest, name } = place;
  const given = values.get(key.name);
  if (given !== undefined) {
    const value = rest.reduce<unknown>(partOf, given.value);
    if (issue.code === "unrecognized_keys") return unknownFields(issue.keys, place, value, given.from);
    if (value === undefined && rest.length > 0) {
      return [faultLine(name, undefined, `missing${at(given.from)}: ${issue.message}`)];
    }
    return [faultLine(name, { value, from: given.from }, issue.message)];
  }
  if (!key.required) return [faultLine(key.name, undefined, issue.message)];
  const wrong = missing(key);
  return wrong === undefined ? [] : [faultLine(key.name, undefined, `missing: ${wrong}`)];
}

function at(from: string | undefined): string {
  return from === undefined ? "" : ` (${from})`;
}

/** Unknown keys of an item. The layers have already refused all others. */
function unknownFields(
  names: readonly string[],
  { key, name }: Place,
  item: unknown,
  from: string | undefined,
): string[] {
  const known = [...(key.fields?.keys() ?? [])];
  return names.map((field) => {
    const near = nearest(field, known);
    const hint =
      near === undefined
        ? `; the keys of ${name} are ${known.join(", ")}`
        : `; did you mean ${name}.${near}?`;
    return faultLine(`${name}.${field}`, { value: partOf(item, field), from }, `unknown key${hint}`);
  });
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

/** A value, or a part of a value, that the schema has refused. */
interface Place {
  readonly key: Key;
  /** The path within the value of the key: the index in a list, and the name of a field. */
  readonly rest: readonly PropertyKey[];
  /** `size.hints`, `size.rules[1].unknown` */
  readonly name: string;
  /** Completes "must be ...". */
  readonly takes: string;
}

function placeAt(root: Section, path: readonly PropertyKey[]): Place | undefined {
  let section = root;
  for (const [index, step] of path.entries()) {
    const child = section.children.get(String(step));
    if (child?.kind === "key") return placeIn(child, path.slice(index + 1));
    if (child === undefined) return undefined;
    section = child;
  }
  return undefined;
}

/** Only items that are mappings have a name of their own. */
function placeIn(key: Key, rest: readonly PropertyKey[]): Place {
  const [index, field] = rest;
  if (key.fields === undefined || index === undefined) return { key, rest, name: key.name, takes: key.takes };
  const item = `${key.name}[${String(index)}]`;
  if (field === undefined) {
    return {
      key,
      rest,
      name: item,
      takes: `a mapping with keys out of: ${[...key.fields.keys()].join(", ")}`,
    };
  }
  const takes = key.fields.get(String(field))?.takes ?? key.takes;
  return { key, rest, name: `${item}.${String(field)}`, takes };
}

function partOf(value: unknown, step: PropertyKey): unknown {
  if (Array.isArray(value)) return (value as unknown[])[Number(step)];
  if (typeof value === "object" && value !== null) return (value as Record<PropertyKey, unknown>)[step];
  return value;
}
