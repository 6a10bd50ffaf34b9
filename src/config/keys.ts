/** The keys of a configuration schema as a tree, with what the documentation says about each. Pure. */
import { z } from "zod";

const ENV_PREFIX = "GLANCE_SIZE_PROXY_";

export interface Key {
  readonly kind: "key";
  /** Dotted: `limits.maxImageSize`. */
  readonly name: string;
  /** `GLANCE_SIZE_PROXY_LIMITS__MAX_IMAGE_SIZE`. */
  readonly env: string;
  readonly meaning: string;
  /** Completes "must be ...". */
  readonly takes: string;
  /** As written in a file. Undefined if there is no default. */
  readonly default: unknown;
  /** A value for the reference if there is no default. */
  readonly example: unknown;
  /** Whether the key must be set. */
  readonly required: boolean;
  /** Whether the default fits almost every deployment. */
  readonly expert: boolean;
  /** The types of JSON that may be written for the key; `const` or `enum` for fixed words. */
  readonly accepts: ReadonlySet<string>;
  /** The keys of an item, if the value is a list of mappings. Their names begin as those of items: `size.rules[].client`. */
  readonly fields: ReadonlyMap<string, Key> | undefined;
}

export interface Section {
  readonly kind: "section";
  /** Dotted; empty for the root. */
  readonly name: string;
  readonly meaning: string;
  /** Whether the whole section may be absent. */
  readonly optional: boolean;
  readonly children: ReadonlyMap<string, Section | Key>;
}

/** The parts of a JSON Schema that this project reads, with its own `takes`, `example` and `expert` (see schema.ts). */
export interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  readonly takes?: string;
  readonly example?: unknown;
  readonly expert?: boolean;
  readonly enum?: readonly string[];
  readonly const?: string;
  readonly anyOf?: readonly JsonSchema[];
  readonly items?: JsonSchema;
  readonly minimum?: number;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly maximum?: number | undefined;
  readonly [other: string]: unknown;
}

/** Reads the tree of keys from a schema. Sections may be nested to any depth. */
export function readKeys(schema: z.ZodObject): Section {
  return sectionOf(z.toJSONSchema(schema, { io: "input" }) as JsonSchema, [], true);
}

function sectionOf(schema: JsonSchema, path: readonly string[], required: boolean): Section {
  const children = Object.entries(schema.properties ?? {}).map(([name, child]): [string, Section | Key] => {
    const read = child.properties === undefined ? keyOf : sectionOf;
    return [name, read(child, [...path, name], schema.required?.includes(name) ?? false)];
  });
  return {
    kind: "section",
    name: path.join("."),
    meaning: schema.description ?? "",
    optional: !required,
    children: new Map(children),
  };
}

function keyOf(schema: JsonSchema, path: readonly string[], required: boolean): Key {
  return {
    kind: "key",
    name: path.join("."),
    env: envName(path),
    meaning: schema.description ?? "",
    takes: takes(schema),
    default: schema.default,
    example: schema.example,
    required,
    expert: schema.expert ?? false,
    accepts: new Set(acceptedTypes(schema)),
    fields: fieldsOf(schema.items, path),
  };
}

function fieldsOf(item: JsonSchema | undefined, path: readonly string[]): Key["fields"] {
  if (item?.properties === undefined) return undefined;
  const fields = Object.entries(item.properties).map(([name, field]): [string, Key] => {
    const key = keyOf(field, [...path, name], item.required?.includes(name) ?? false);
    return [name, { ...key, name: `${path.join(".")}[].${name}` }];
  });
  return new Map(fields);
}

/** `size.unknown` -> `GLANCE_SIZE_PROXY_SIZE__UNKNOWN`: two underscores for a dot, one before each inner capital. */
function envName(path: readonly string[]): string {
  const words = path.map((part) => part.replace(/[A-Z]/g, "_$&").toUpperCase());
  return ENV_PREFIX + words.join("__");
}

function acceptedTypes(schema: JsonSchema): readonly string[] {
  if (schema.anyOf !== undefined) return schema.anyOf.flatMap(acceptedTypes);
  if (schema.const !== undefined) return ["const"];
  if (schema.enum !== undefined) return ["enum"];
  return [schema.type ?? []].flat();
}

function takes(schema: JsonSchema): string {
  if (schema.takes !== undefined) return schema.takes;
  if (schema.anyOf !== undefined) return either(schema.anyOf.map(takes));
  if (schema.enum !== undefined) return either(schema.enum);
  if (schema.const !== undefined) return schema.const;
  const type = [schema.type ?? []].flat().find((name) => name !== "null");
  switch (type) {
    case "array":
      return `a list of ${takes(schema.items ?? {})}`;
    case "boolean":
      return "true or false";
    case "integer":
    case "number":
      return numberText(type, schema.minimum ?? Number.MIN_SAFE_INTEGER);
    default:
      return "text";
  }
}

function numberText(type: "integer" | "number", minimum: number): string {
  const kind = type === "integer" ? "an integer" : "a number";
  return minimum > Number.MIN_SAFE_INTEGER ? `${kind} of at least ${minimum}` : kind;
}

/** `a, b or c`. */
function either(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

/** Every key of a section and of the sections in it, in the order of the schema. */
export function allKeys(section: Section): Key[] {
  return [...section.children.values()].flatMap((child) => (child.kind === "key" ? [child] : allKeys(child)));
}
