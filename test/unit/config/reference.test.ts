import { readFileSync } from "node:fs";
import { Ajv } from "ajv";
import { format } from "prettier";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { renderJsonSchema } from "../../../src/config/json-schema.js";
import { allKeys } from "../../../src/config/keys.js";
import { renderDefaultYaml, renderReference } from "../../../src/config/reference.js";
import { configKeys } from "../../../src/config/schema.js";
import { SHORTCUTS } from "../../../src/config/shortcuts.js";
import { faultsOf, load } from "./sources.js";

const keys = allKeys(configKeys);

describe("config/default.yaml", () => {
  const text = renderDefaultYaml(configKeys);
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
  const text = renderReference(configKeys);

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

function formatJson(value: unknown): Promise<string> {
  return format(JSON.stringify(value), { parser: "json", printWidth: 110 });
}

/** The faults of a file with these keys and an upstream. */
function faultsOfFile(config: { upstream?: object }): readonly string[] {
  const file = JSON.stringify({ ...config, upstream: { url: "http://glance", ...config.upstream } });
  return faultsOf(() => load({ file }));
}

describe("config/schema.json", () => {
  const schema = renderJsonSchema();
  // Not looked at here: what is an address is tested in test/unit/import.
  const formats = { ipv4: true, ipv6: true, cidrv4: true, cidrv6: true } as const;
  const accepts = new Ajv({ strict: false, formats }).compile(schema);

  it("is what the schema says (write it anew with `npm run reference`)", async () => {
    await expect(await formatJson(schema)).toMatchFileSnapshot("../../../config/schema.json");
  });

  it.each(keys.map((key) => [key.name, key] as const))("describes %s", (name, key) => {
    const path = `properties.${name.replaceAll(".", ".properties.")}.description`;
    expect(schema).toHaveProperty(path, expect.stringContaining(key.meaning));
  });

  it("accepts config/default.yaml, which names the schema for editors", () => {
    const text = renderDefaultYaml(configKeys);
    expect(text).toContain("# yaml-language-server: $schema=schema.json\n");
    expect(accepts(parse(text))).toBe(true);
  });

  it.each([
    { upstream: { url: "unix:/run/glance.sock", connectTimeout: "500ms", responseTimeout: 0 } },
    { limits: { maxImageSize: 5, maxHeaderSize: "64 KiB" }, workers: "auto" },
    { size: { hints: ["X-Size"] }, listen: { address: "[::1]:9292" } },
  ] as { upstream?: object }[])("accepts %j", (config) => {
    expect(accepts(config)).toBe(true);
    expect(faultsOfFile(config)).toEqual([]);
  });

  it.each([
    { upstream: { url: "glance:9292" } },
    { upstream: { connectTimeout: 5 } },
    { limits: { maxImageSize: "10GB" } },
    { listen: { address: "localhost" } },
    { size: { unknown: "guess" } },
    { size: { colour: "red" } },
    { workers: 100_000 },
    { sise: {} },
  ] as { upstream?: object }[])("refuses %j, as the command does", (config) => {
    expect(accepts(config)).toBe(false);
    expect(faultsOfFile(config)).toHaveLength(1);
  });

  it("marks the expert keys, as docs/configuration.md does", () => {
    expect(schema).toHaveProperty("properties.upload.properties.relay.x-expert", true);
    expect(schema).not.toHaveProperty("properties.size.properties.unknown.x-expert");
    expect(renderReference(configKeys).match(/^Expert key: /gm)).toHaveLength(
      keys.filter(({ expert }) => expert).length,
    );
  });
});

describe("values.schema.json of the Helm chart", () => {
  const path = "deploy/helm/glance-size-proxy/values.schema.json";

  it("has the schema of the file for config (write it anew with `npm run reference`)", async () => {
    const values = JSON.parse(readFileSync(path, "utf8")) as { properties: Record<string, unknown> };
    const { $schema, ...config } = renderJsonSchema();
    expect(values).toHaveProperty("$schema", $schema);
    values.properties["config"] = { ...config, type: "object" };
    await expect(await formatJson(values)).toMatchFileSnapshot(`../../../${path}`);
  });
});
