/** Reads configuration values from the text of a YAML file. The only file that parses with `yaml`. Pure. */
import { type Document, isPair, isScalar, LineCounter, parseDocument, visit } from "yaml";
import { faultLine } from "./fault.js";
import type { Section } from "./keys.js";
import { type Layer, layerFromObject } from "./layer.js";

const SECOND_DOCUMENT = "a second YAML document begins here: write all keys in one document";

/** @returns `readable: false` if the text is not valid YAML. The caller must then report no key as missing. */
export function layerFromYaml(
  root: Section,
  text: string,
  path: string,
): Layer & { readonly readable: boolean } {
  const lines = new LineCounter();
  // `repeatedKeys` finds duplicate keys: the parser does not name the key.
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: false,
    logLevel: "error",
  });
  const at = (offset: number) => `${path}:${lines.linePos(offset).line}`;

  // The parser only warns about an unknown tag, such as `!env X`, and takes the text as the value. That is a fault here.
  const problems = [...document.errors, ...document.warnings].map(({ code, message, pos }) => {
    return faultLine(
      at(pos[0]),
      undefined,
      code === "MULTIPLE_DOCS" ? SECOND_DOCUMENT : withoutExcerpt(message),
    );
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

/** @returns the parser's message without the excerpt of the file: it may contain a secret. */
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
