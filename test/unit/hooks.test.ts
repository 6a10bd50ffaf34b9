/** The configuration of hooks, and their secrets. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { ConfigError } from "../../src/config/config-error.js";
import { readSecrets } from "../../src/hooks/signature.js";
import { createServer } from "../../src/index.js";

const directory = mkdtempSync(join(tmpdir(), "secrets-"));
const path = join(directory, "secret");
afterAll(() => rmSync(directory, { recursive: true }));

const encoded = (bytes: number): string => `whsec_${Buffer.alloc(bytes, "s").toString("base64")}`;

it.each([
  ["one secret", encoded(24), 1],
  ["two, and empty lines", `\n${encoded(32)}\r\n\n${encoded(64)}\n`, 2],
])("a file with %s is read", (_, text, count) => {
  writeFileSync(path, text);
  expect(readSecrets(path)).toHaveLength(count);
});

it.each([
  ["nothing", "\n"],
  ["no prefix", Buffer.alloc(32, "s").toString("base64")],
  ["a short secret", encoded(23)],
  ["a long secret", encoded(65)],
  ["one good and one bad line", `${encoded(32)}\nwhsec_?`],
])("a file with %s is refused, and its content is not quoted", (_, text) => {
  writeFileSync(path, text);
  expect(() => readSecrets(path)).toThrow(ConfigError);
  try {
    readSecrets(path);
  } catch (error) {
    const [fault = ""] = (error as ConfigError).faults;
    const what = text.trim() === "" ? "contains no secret" : "contains a line that is no such secret";
    expect(fault).toContain(
      `hooks.secretFile: ${JSON.stringify(path)}: ${what}: must be a file with lines of`,
    );
    if (text.trim() !== "") expect(fault).not.toContain(text.trim());
  }
});

it.each<[string, object, string]>([
  ["user info", { url: "http://user:pass@hooks.example/" }, "hooks.url"],
  ["a query", { url: "http://hooks.example/?token=x" }, "hooks.url"],
  ["another scheme", { url: "file:///etc/passwd" }, "hooks.url"],
  ["no secret", { url: "http://hooks.example/" }, "hooks.secretFile: missing: hooks.url requires it"],
  ["a secret alone", { secretFile: "/secret" }, "hooks.secretFile"],
  [
    "a secret that is not there",
    { url: "http://hooks.example/", secretFile: "/none" },
    'hooks.secretFile: "/none": cannot be read (ENOENT): must be a file with lines of whsec_',
  ],
])("hooks with %s are refused at the start", (_, hooks, fault) => {
  const create = () => createServer({ upstream: { url: "http://127.0.0.1:9" }, hooks });
  expect(create).toThrow(ConfigError);
  expect(create).toThrow(fault);
});
