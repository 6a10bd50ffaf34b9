/** Reads configuration values from environment variables: one for every key, and the short names of the flags. Pure. */
import { faultLine, type Given, show } from "./fault.js";
import { allKeys, type Key, type Section } from "./keys.js";
import type { Layer } from "./layer.js";
import { nearest } from "./nearest.js";
import { CONFIG_FILE, SHORTCUTS } from "./shortcuts.js";

const PREFIX = "GLANCE_SIZE_PROXY_";

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Whether Kubernetes set the variable. It does so in every pod if a Service has the name `glance-size-proxy`, or a name that begins
 * with it: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
 */
function isFromKubernetes(name: string, value: string): boolean {
  if (/_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$/.test(name))
    return true;
  // An operator may also guess a name that ends in `_PORT`. Kubernetes always sets a URL as its value.
  return name.endsWith("_PORT") && /^(tcp|udp|sctp):\/\//.test(value);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

/** Converts a text to the type of the key. A text that does not fit stays text: the schema refuses it and names the key. */
function coerce(key: Key, text: string): unknown {
  if (key.fields !== undefined) return text.trim() === "" ? [] : parseJson(text);
  if (key.accepts.has("array")) {
    return text.trim() === "" ? [] : text.split(",").map((item) => item.trim());
  }
  if (key.accepts.has("boolean") && /^(true|false)$/.test(text)) return text === "true";
  // Sizes and times also accept text and parse their digits themselves.
  const isNumeric = key.accepts.has("number") || key.accepts.has("integer");
  if (isNumeric && !key.accepts.has("string") && /^-?\d+$/.test(text)) return Number(text);
  return text;
}

/** Reads every `GLANCE_SIZE_PROXY_*` variable except `GLANCE_SIZE_PROXY_CONFIG`. An unknown variable is a fault. */
export function layerFromEnvironment(root: Section, env: Environment): Layer {
  const values = new Map<string, Given>();
  const faults: string[] = [];
  const keys = allKeys(root);
  const byVariable = new Map(keys.map((key) => [key.env, key]));
  for (const { env: short, key: name } of SHORTCUTS) {
    const key = keys.find((candidate) => candidate.name === name);
    if (key !== undefined) byVariable.set(short, key);
  }

  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith(PREFIX) || name === CONFIG_FILE.env || text === undefined) continue;
    const key = byVariable.get(name);
    if (key === undefined) {
      if (!isFromKubernetes(name, text)) {
        const near = nearest(name, [...byVariable.keys(), CONFIG_FILE.env]);
        const hint =
          near === undefined
            ? ": unset it, or use a name from docs/configuration.md"
            : `; did you mean ${near}?`;
        faults.push(faultLine(name, { value: text, from: "environment" }, `unknown variable${hint}`));
      }
      continue;
    }
    const other = values.get(key.name);
    if (other?.from !== undefined && env[other.from] !== text) {
      const both = [other.from, name].map((each) => `${each} (${show(key.name, env[each])})`).join(" and ");
      faults.push(faultLine(key.name, undefined, `${both} differ: set only one of them`));
    }
    values.set(key.name, { value: coerce(key, text), from: name });
  }
  return { values, faults };
}
