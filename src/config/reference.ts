/**
 * `config/default.yaml` and `docs/configuration.md`, rendered from the schema. A test compares the files with this;
 * `npx vitest run test/unit/config -u` writes them anew. Pure.
 */
import { stringify } from "yaml";
import type { Key, Section } from "./keys.js";
import { SHORTCUTS } from "./shortcuts.js";

const WIDTH = 110;

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
  return `Takes ${takes}.`;
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
      ...wrap(sentence(child.takes), `${indent}#`),
      ...written.map((line) => lead + line),
    ];
  });
}

/** `config/default.yaml`: every key with its default and meaning; those without a default are commented out. */
export function renderDefaultYaml(root: Section): string {
  const head = [
    "# Every key of glance-size-proxy with its default. Copy what you change: what a file leaves out keeps its default.",
    "# Sizes are bytes or 64KiB, 10MiB, 5GiB, 1TiB; times are 500ms, 30s, 5m, 6h, 1d, or 0.",
    "# Rendered from src/config/schema.ts: change it there, then run `npx vitest run test/unit/config -u`.",
  ];
  return [...head, ...yamlLines(root, "")].join("\n") + "\n";
}

const INTRODUCTION = `<!-- Rendered from src/config/schema.ts and src/config/reference.ts: change them, then run \`npx vitest run test/unit/config -u\`. -->

# Configuration

Only one thing has to be said: where Glance is.

\`\`\`sh
glance-size-proxy --upstream http://127.0.0.1:9292 --listen 0.0.0.0:9392
\`\`\`

Every key below can be given in a YAML file (\`--config FILE\` or \`GLANCE_SIZE_PROXY_CONFIG\`) and as an environment
variable. [config/default.yaml](../config/default.yaml) is such a file with every default.

## Which value wins

1. The flag: \`--upstream\`, \`--listen\`, \`--admin-listen\`.
2. The environment variable.
3. The YAML file.
4. The default.

A list is replaced as a whole. \`glance-size-proxy --check-config\` prints what is in effect, as a file, and exits.

## Environment variables

The name is \`GLANCE_SIZE_PROXY_\` and the key in capitals, with two underscores for a dot and one before each inner
capital: \`limits.maxImageSize\` is \`GLANCE_SIZE_PROXY_LIMITS__MAX_IMAGE_SIZE\`. Lists are separated by commas; an
empty value is an empty list.

\`GLANCE_SIZE_PROXY_UPSTREAM\`, \`GLANCE_SIZE_PROXY_LISTEN\` and \`GLANCE_SIZE_PROXY_ADMIN_LISTEN\` are short for the
variables of \`upstream.url\`, \`listen.address\` and \`admin.address\`; giving both with different values is a fault.

What Kubernetes sets for a Service of this name (\`GLANCE_SIZE_PROXY_SERVICE_HOST\`,
\`GLANCE_SIZE_PROXY_PORT=tcp://...\`) is ignored. Any other unknown variable of this prefix is a fault.

## Faults

A key that does not exist, a key given twice, a wrong type or an impossible value ends the command with exit code 2
before it listens. Each fault is one line on standard error: the key, the value, where it was given, and what the key
takes.

## Sizes and times

A size is a number of bytes (\`65536\`) or has a unit: \`B\`, \`KiB\`, \`MiB\`, \`GiB\`, \`TiB\` (powers of 1024). A time
has a unit, \`ms\`, \`s\`, \`m\`, \`h\` or \`d\`, or is \`0\`.
`;

function defaultText(key: Key): string {
  if (key.default === undefined) return key.required ? "none, it has to be given" : "none";
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
    "",
    `- Takes: ${key.takes}`,
    `- Default: ${defaultText(key)}`,
    `- Environment: \`${key.env}\`${short}`,
    "",
  ].join("\n");
}

function sectionText(section: Section): string[] {
  const title =
    section.name === "" ? "## Keys without a section\n" : `## ${section.name}\n\n${section.meaning}\n`;
  return [title, ...keysOf(section).map(keyText), ...sectionsOf(section).flatMap(sectionText)];
}

/** `docs/configuration.md`: how values are given, then every key. */
export function renderReference(root: Section): string {
  return [INTRODUCTION, ...sectionText(root)].join("\n");
}
