/** The values of one source (file, environment, flags) by dotted key. A later layer overrides an earlier layer. Pure. */
import { faultLine, type Given } from "./fault.js";
import { allKeys, type Section } from "./keys.js";
import { nearest } from "./nearest.js";

/** Values by dotted key, and the faults of the source itself. */
export interface Layer {
  readonly values: ReadonlyMap<string, Given>;
  readonly faults: readonly string[];
}

/** Reads a nested object from a YAML file or a caller. Null for a section means a section without keys. */
export function layerFromObject(root: Section, input: unknown, from: string | undefined): Layer {
  const values = new Map<string, Given>();
  const faults: string[] = [];

  function read(section: Section, content: unknown): void {
    if (content === null || content === undefined) return;
    if (typeof content !== "object" || Array.isArray(content)) {
      const name = section.name === "" ? "configuration" : section.name;
      faults.push(
        faultLine(
          name,
          { value: content, from },
          `must be a mapping with keys out of: ${childNames(section)}`,
        ),
      );
      return;
    }
    for (const [name, value] of Object.entries(content) as [string, unknown][]) {
      const child = section.children.get(name);
      if (child === undefined) {
        const dotted = section.name === "" ? name : `${section.name}.${name}`;
        faults.push(faultLine(dotted, { value, from }, `unknown key${suggestion(root, section, dotted)}`));
      } else if (child.kind === "section") {
        read(child, value);
      } else if (value !== undefined) {
        values.set(child.name, { value, from });
      }
    }
  }

  read(root, input);
  return { values, faults };
}

function childNames(section: Section): string {
  return [...section.children.keys()].join(", ");
}

/** Suggests a similar name of the same section, or else a key with the same last part in another section. */
function suggestion(root: Section, section: Section, dotted: string): string {
  const neighbours = [...section.children.values()].map((child) => child.name);
  const lastWord = dotted.slice(dotted.lastIndexOf(".") + 1);
  const elsewhere = allKeys(root).find((key) => key.name.endsWith(`.${lastWord}`));
  const near = nearest(dotted, neighbours) ?? elsewhere?.name;
  const owner = section.name === "" ? "the file" : section.name;
  return near === undefined ? `; the keys of ${owner} are ${childNames(section)}` : `; did you mean ${near}?`;
}
