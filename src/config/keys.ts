/** The keys of a configuration schema as a tree, with what a person has to know about each. Pure. */
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
  /** As one would write it in a file; undefined where there is none. */
  readonly default: unknown;
  /** A value for the reference to show where there is no default. */
  readonly example: unknown;
  /** Whether the configuration is impossible without it. */
  readonly required: boolean;
  /** The types that may be written for it. */
  readonly accepts: ReadonlySet<string>;
}

export interface Section {
  readonly kind: "section";
  /** Dotted; empty for the root. */
  readonly name: string;
  readonly meaning: string;
  /** Whether it may be left out altogether. */
  readonly optional: boolean;
  readonly children: ReadonlyMap<string, Section | Key>;
}

/** `size.unknown` -> `GLANCE_SIZE_PROXY_SIZE__UNKNOWN`: two underscores for a dot, one before each inner capital. */
function envName(path: readonly string[]): string {
  const words = path.map((part) => part.replace(/[A-Z]/g, "_$&").toUpperCase());
  return ENV_PREFIX + words.join("__");
}

/** What a default, an optional or a codec stands around; undefined where a schema stands for itself. */
function inside(schema: z.core.$ZodType): z.core.$ZodType | undefined {
  if (schema instanceof z.ZodPipe) return schema.in;
  if (
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodNullable ||
    schema instanceof z.ZodReadonly
  ) {
    return schema.unwrap();
  }
  return undefined;
}

/** A schema and all that it stands around, from the outside in. */
function layersOf(schema: z.core.$ZodType): z.core.$ZodType[] {
  const inner = inside(schema);
  return inner === undefined ? [schema] : [schema, ...layersOf(inner)];
}

function fromMeta(schema: z.core.$ZodType, name: "description" | "takes" | "example"): unknown {
  return layersOf(schema)
    .map((layer) => z.globalRegistry.get(layer)?.[name])
    .find((value) => value !== undefined);
}

function defaultOf(schema: z.core.$ZodType): unknown {
  const layer = layersOf(schema).find(
    (layer) => layer instanceof z.ZodPrefault || layer instanceof z.ZodDefault,
  );
  return layer?.def.defaultValue;
}

function core(schema: z.core.$ZodType): z.core.$ZodType {
  return layersOf(schema).at(-1) ?? schema;
}

function acceptedTypes(schema: z.core.$ZodType): string[] {
  const type = core(schema);
  return type instanceof z.ZodUnion ? type.options.flatMap(acceptedTypes) : [type._zod.def.type];
}

/** `a, b or c`. */
function either(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

function takes(schema: z.core.$ZodType): string {
  const said = fromMeta(schema, "takes");
  if (typeof said === "string") return said;
  const type = core(schema);
  if (type instanceof z.ZodUnion) return either(type.options.map(takes));
  if (type instanceof z.ZodEnum) return either(type.options.map(String));
  if (type instanceof z.ZodLiteral) return either([...type.values].map(String));
  if (type instanceof z.ZodArray) return `a list of ${takes(type.element)}`;
  if (type instanceof z.ZodBoolean) return "true or false";
  if (type instanceof z.ZodNumber) {
    const least = type.minValue ?? Number.MIN_SAFE_INTEGER;
    return `${type.isInt ? "an integer" : "a number"}${least > Number.MIN_SAFE_INTEGER ? ` of at least ${least}` : ""}`;
  }
  return "text";
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** Reads the tree of keys off a schema; nesting may be of any depth. */
export function readKeys(schema: z.ZodObject): Section {
  return sectionOf(schema, schema, []);
}

function sectionOf(object: z.ZodObject, schema: z.core.$ZodType, path: readonly string[]): Section {
  const shape: Readonly<Record<string, z.core.$ZodType>> = object.shape;
  const children = Object.entries(shape).map(([name, child]): [string, Section | Key] => {
    const childPath = [...path, name];
    const inner = core(child);
    return [
      name,
      inner instanceof z.ZodObject ? sectionOf(inner, child, childPath) : keyOf(child, childPath),
    ];
  });
  return {
    kind: "section",
    name: path.join("."),
    meaning: text(fromMeta(schema, "description")),
    optional: z.safeParse(schema, undefined).success,
    children: new Map(children),
  };
}

function keyOf(schema: z.core.$ZodType, path: readonly string[]): Key {
  return {
    kind: "key",
    name: path.join("."),
    env: envName(path),
    meaning: text(fromMeta(schema, "description")),
    takes: takes(schema),
    default: defaultOf(schema),
    example: fromMeta(schema, "example"),
    required: !z.safeParse(schema, undefined).success,
    accepts: new Set(acceptedTypes(schema)),
  };
}

/** Every key of a section and of the sections in it, in the order of the schema. */
export function allKeys(section: Section): Key[] {
  return [...section.children.values()].flatMap((child) => (child.kind === "key" ? [child] : allKeys(child)));
}
