import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { allKeys, readKeys } from "../../../src/config/keys.js";
import { renderDefaultYaml, renderReference } from "../../../src/config/reference.js";
import { configSchema } from "../../../src/config/schema.js";
import { SHORTCUTS } from "../../../src/config/shortcuts.js";
import { faultsOf, load } from "./sources.js";

const root = readKeys(configSchema);
const keys = allKeys(root);

describe("config/default.yaml", () => {
  const text = renderDefaultYaml(root);
  /** With the keys that have no default switched on, by taking away the `# ` before them. */
  const complete = text.replace(/^( *)# (\w+:)/gm, "$1$2");

  it("is what the schema says (write it anew with `npm run reference`)", async () => {
    await expect(text).toMatchFileSnapshot("../../../config/default.yaml");
  });

  it("is complete except for upstream.url", () => {
    expect(faultsOf(() => load({ file: text }))).toEqual([
      expect.stringMatching(/^upstream\.url: missing: set /),
    ]);
  });

  it("has the same effect as no file", () => {
    const flags = { upstream: "http://glance" };
    expect(load({ file: text, flags })).toEqual(load({ flags }));
  });

  it("loads if its examples are uncommented", () => {
    expect(load({ file: complete }).upstream.url.href).toBe("https://glance.internal:9292/");
  });

  it.each(keys.map((key) => [key.name, key] as const))("has %s with its default and meaning", (name, key) => {
    const document: unknown = parse(complete);
    const value = name
      .split(".")
      .reduce<unknown>((section, part) => (section as Record<string, unknown>)[part], document);
    expect(value).toEqual(key.default ?? key.example);
    const prose = text.replace(/\n *# ?/g, " ");
    expect(prose).toContain(`${key.meaning} Must be ${key.takes}.`);
  });
});

describe("docs/configuration.md", () => {
  const text = renderReference(root);

  it("is what the schema says (write it anew with `npm run reference`)", async () => {
    await expect(text).toMatchFileSnapshot("../../../docs/configuration.md");
  });

  it.each(keys.map((key) => [key.name, key] as const))("describes %s", (name, key) => {
    const start = text.indexOf(`### \`${name}\``);
    const entry = text.slice(start, text.indexOf("\n#", start + 1));
    expect(start).toBeGreaterThan(0);
    for (const part of [key.meaning, key.takes, `\`${key.env}\``]) expect(entry).toContain(part);
    const written = typeof key.default === "string" ? key.default : JSON.stringify(key.default);
    expect(entry).toContain(
      `- Default: ${key.default === "" ? "empty" : key.default === undefined ? "none" : `\`${written}\``}`,
    );
  });

  it.each(SHORTCUTS)("names $option and $env", ({ option, env }) => {
    expect(text).toContain(`\`${env}\`; flag \`${option}\``);
  });
});
