/**
 * `config/default.yaml` and `docs/configuration.md`, rendered from the schema. A test compares the files with this;
 * `npm run reference` writes them anew. Pure.
 */
import { stringify } from "yaml";
import type { Key, Section } from "./keys.js";
import { SHORTCUTS } from "./shortcuts.js";

const WIDTH = 110;

/** Marks the keys with `expert` in their `meta`. */
export const EXPERT_KEY = "Expert key: the default fits almost every deployment.";

function wrap(text: string, lead: string): string[] {
  const lines: string[] = [];
  let line = lead;
  for (const word of text.split(" ")) {
    if (line !== lead && line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = lead;
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}

function sectionsOf(section: Section): Section[] {
  return [...section.children.values()].filter((child) => child.kind === "section");
}

function keysOf(section: Section): Key[] {
  return [...section.children.values()].filter((child) => child.kind === "key");
}

function sentence(takes: string): string {
  return `Must be ${takes}.`;
}

function yamlLines(section: Section, indent: string): string[] {
  return [...section.children].flatMap(([name, child]) => {
    const comment = wrap(child.meaning, `${indent}#`);
    if (child.kind === "section")
      return ["", ...comment, `${indent}${name}:`, ...yamlLines(child, `${indent}  `)];
    const lead = child.default === undefined ? `${indent}# ` : indent;
    const value = child.default ?? child.example;
    const text = value === undefined ? `${name}:\n` : stringify({ [name]: value });
    const written = text.trimEnd().split("\n");
    const apart = indent === "" ? [""] : [];
    return [
      ...apart,
      ...comment,
      ...wrap(`${sentence(child.takes)}${child.expert ? ` ${EXPERT_KEY}` : ""}`, `${indent}#`),
      ...fieldLines(child, `${indent}#`),
      ...written.map((line) => lead + line),
    ];
  });
}

/** The keys of an item, and an example. Comments: the default is an empty list. */
function fieldLines({ name, fields, example }: Key, lead: string): string[] {
  if (fields === undefined) return [];
  const about = [...fields].flatMap(([field, { required, meaning, takes }]) =>
    wrap(`- ${field} (${required ? "required" : "optional"}): ${meaning} ${sentence(takes)}`, lead),
  );
  const shown = stringify({ [name.split(".").at(-1) ?? name]: example }, { collectionStyle: "any" });
  return [
    ...wrap("The keys of a rule:", lead),
    ...about,
    ...wrap("An example:", lead),
    ...shown
      .trimEnd()
      .split("\n")
      .map((line) => `${lead}   ${line}`),
  ];
}

/** @returns the text of `config/default.yaml`: every key with its default and meaning. A key without a default is commented out. */
export function renderDefaultYaml(root: Section): string {
  const head = [
    "# Every key of glance-size-proxy with its default. Copy only the keys you want to change; all others keep their defaults.",
    "# A size is a number of bytes or has a unit: 64KiB, 10MiB, 5GiB, 1TiB. A time has a unit: 500ms, 30s, 5m, 6h, 1d; or is 0.",
    "# Rendered from src/config/sections: change them there, then run `npm run reference`.",
    "# yaml-language-server: $schema=schema.json",
  ];
  return [...head, ...yamlLines(root, "")].join("\n") + "\n";
}

const INTRODUCTION = `<!-- Rendered from src/config/sections and src/config/reference.ts: change them, then run \`npm run reference\`. -->

# Configuration

Only \`upstream.url\` is required: the URL of Glance.

\`\`\`sh
glance-size-proxy --upstream http://127.0.0.1:9292 --listen 0.0.0.0:9392
\`\`\`

Every key below can be set in a YAML file (\`--config FILE\` or \`GLANCE_SIZE_PROXY_CONFIG\`) or in an environment
variable. [config/default.yaml](../config/default.yaml) is a file with every key and its default.
[config/schema.json](../config/schema.json) is a JSON Schema of the file, for editors: put
\`# yaml-language-server: $schema=PATH/schema.json\` at the top of the file.

## Precedence

The first of these that is set wins:

1. The flag: \`--upstream\`, \`--listen\`, \`--admin-listen\`.
2. The environment variable.
3. The YAML file.
4. The default.

A list replaces the whole list of a lower source. \`glance-size-proxy --check-config\` prints the effective configuration
as YAML and exits.

## Environment variables

The name is \`GLANCE_SIZE_PROXY_\` followed by the key in capitals, with two underscores for each dot and one underscore
before each inner capital: \`limits.maxImageSize\` is \`GLANCE_SIZE_PROXY_LIMITS__MAX_IMAGE_SIZE\`. Separate the items of
a list with commas. An empty value is an empty list. Write a list of mappings as JSON:

\`\`\`text
GLANCE_SIZE_PROXY_SIZE__RULES='[{"store":["cinder"],"unknown":"spool"}]'
\`\`\`

\`GLANCE_SIZE_PROXY_UPSTREAM\`, \`GLANCE_SIZE_PROXY_LISTEN\` and \`GLANCE_SIZE_PROXY_ADMIN_LISTEN\` are short names for the
variables of \`upstream.url\`, \`listen.address\` and \`admin.address\`. Setting the short and the long name to different values
is an error.

The proxy ignores the variables that Kubernetes sets for a Service of this name (\`GLANCE_SIZE_PROXY_SERVICE_HOST\`,
\`GLANCE_SIZE_PROXY_PORT=tcp://...\`). Any other unknown variable with this prefix is an error.

## Errors

If a key is unknown, set twice, of a wrong type or has an impossible value, the command exits with code 2 before it
listens. Each error is one line on standard error: the key, the value, where it was set, and what it must be.

## Changes while the proxy runs

On \`SIGHUP\` the proxy reads the file, the environment and the flags again, and checks them as at the start. Most keys change for new requests. With one process,
\`listen.address\`, \`admin.address\`, \`workers\` (to get more than one), \`upload.relay\`, and whether \`listen.tls\`, \`admin.tls\` and their \`clientCaFile\` are set, change only with a new
process: restart, or \`SIGUSR2\`. With \`workers\` of 2 or more, only the two addresses, and whether \`admin.tls\` and its \`clientCaFile\` are set, do. [operations.md](operations.md#reload) has the details.

## Sizes and times

A size is a number of bytes (\`65536\`) or has a unit: \`B\`, \`KiB\`, \`MiB\`, \`GiB\` or \`TiB\` (powers of 1024). A time
has a unit (\`ms\`, \`s\`, \`m\`, \`h\` or \`d\`) or is \`0\`.
`;

function defaultText(key: Key): string {
  if (key.default === undefined) return key.required ? "none, required" : "none";
  if (key.default === "") return "empty";
  return `\`${typeof key.default === "string" ? key.default : JSON.stringify(key.default)}\``;
}

function keyText(key: Key): string {
  const shortcut = SHORTCUTS.find((candidate) => candidate.key === key.name);
  const short = shortcut === undefined ? "" : `, or \`${shortcut.env}\`; flag \`${shortcut.option}\``;
  return [
    `### \`${key.name}\``,
    "",
    key.meaning,
    ...(key.expert ? ["", EXPERT_KEY] : []),
    "",
    `- Must be: ${key.takes}`,
    `- Default: ${defaultText(key)}`,
    `- Environment: \`${key.env}\`${short}`,
    "",
    ...fieldsText(key),
  ].join("\n");
}

function fieldsText({ name, fields, example }: Key): string[] {
  if (fields === undefined) return [];
  return [
    "The keys of an item:",
    "",
    ...[...fields].map(
      ([field, { required, meaning, takes }]) =>
        `- \`${field}\` (${required ? "required" : "optional"}): ${meaning} ${sentence(takes)}`,
    ),
    "",
    "Example:",
    "",
    "```yaml",
    stringify(name.split(".").reduceRight<unknown>((inner, part) => ({ [part]: inner }), example)).trimEnd(),
    "```",
    "",
  ];
}

function sectionText(section: Section): string[] {
  const title =
    section.name === "" ? "## Keys outside sections\n" : `## ${section.name}\n\n${section.meaning}\n`;
  return [title, ...keysOf(section).map(keyText), ...sectionsOf(section).flatMap(sectionText)];
}

/** @returns the text of `docs/configuration.md`. */
export function renderReference(root: Section): string {
  return [INTRODUCTION, ...sectionText(root)].join("\n");
}
