/** The text of a configuration file as configuration values. Pure; `yaml` is imported for reading here alone. */
import { isPair, isScalar, LineCounter, parseDocument, visit, type Document } from "yaml";
import { faultLine } from "./fault.js";
import type { Section } from "./keys.js";
import { layerFromObject, type Layer } from "./layer.js";

/** Reads a file. `readable` is false where nothing in it can be relied on, so that nothing is called missing. */
export function layerFromYaml(
  root: Section,
  text: string,
  path: string,
): Layer & { readonly readable: boolean } {
  const lines = new LineCounter();
  // Duplicate keys are looked for below: the parser would not say which one it is.
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: false,
    logLevel: "error",
  });
  const at = (offset: number) => `${path}:${lines.linePos(offset).line}`;

  // A warning is a tag that means nothing here, `!env X`: its text would be taken for the value.
  const problems = [...document.errors, ...document.warnings].map(({ message, pos }) => {
    return faultLine(at(pos[0]), undefined, withoutExcerpt(message));
  });
  if (problems.length > 0) return { values: new Map(), faults: problems, readable: false };

  let content: unknown;
  try {
    content = document.toJS();
  } catch (error) {
    const wrong = withoutExcerpt(error instanceof Error ? error.message : String(error));
    return { values: new Map(), faults: [faultLine(path, undefined, wrong)], readable: false };
  }
  const layer = layerFromObject(root, content, path);
  const repeated = repeatedKeys(document).map(({ name, offset }) => {
    return faultLine(name, undefined, `set twice (${at(offset)}): remove one of the two`);
  });
  return { values: layer.values, faults: [...layer.faults, ...repeated], readable: true };
}

/** What the parser says, without the piece of the file in it: that may be a secret. */
function withoutExcerpt(message: string): string {
  const [said = ""] = message.split(/(?<=\S): | [%\\]|\n/, 1);
  return said.replace(/!\S+/g, "!...");
}

function repeatedKeys(document: Document): { name: string; offset: number }[] {
  const found: { name: string; offset: number }[] = [];
  visit(document, {
    Map(_, map, ancestors) {
      const prefix = ancestors.filter((node) => isPair(node)).map((pair) => String(pair.key));
      const seen = new Set<string>();
      for (const { key } of map.items) {
        if (!isScalar(key)) continue;
        const name = String(key.value);
        if (seen.has(name)) found.push({ name: [...prefix, name].join("."), offset: key.range?.[0] ?? 0 });
        seen.add(name);
      }
    },
  });
  return found;
}
