/** The TypeScript of the documentation compiles as it stands there, and docs/api.md has a section on each export. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { expect, it } from "vitest";

/** In the repository, so that the package's own name leads to its `dist`. */
const FOLDER = "build/documented";
const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  module: ts.ModuleKind.NodeNext,
  types: ["node"],
  strict: true,
  exactOptionalPropertyTypes: true,
  noPropertyAccessFromIndexSignature: true,
  skipLibCheck: true,
  noEmit: true,
};

const documents = execFileSync("git", ["ls-files", "README.md", "docs/*.md"], { encoding: "utf8" });
const blocks = documents
  .trim()
  .split("\n")
  .flatMap((file) =>
    [...readFileSync(file, "utf8").matchAll(/^```ts\n(.*?)^```$/gms)].map(
      ([, code = ""], index) => [`${file.replaceAll("/", "-")}-${index + 1}.ts`, code] as const,
    ),
  );

it("every block of TypeScript compiles against the package", () => {
  expect(blocks.length).toBeGreaterThanOrEqual(8);
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER, { recursive: true });
  for (const [name, code] of blocks) writeFileSync(join(FOLDER, name), code);
  const program = ts.createProgram(
    blocks.map(([name]) => join(FOLDER, name)),
    OPTIONS,
  );
  const faults = ts.getPreEmitDiagnostics(program).map(({ file, start = 0, messageText }) => {
    const line = (file?.getLineAndCharacterOfPosition(start).line ?? 0) + 1;
    return `${file?.fileName}:${line} ${ts.flattenDiagnosticMessageText(messageText, " ")}`;
  });
  expect(faults).toEqual([]);
  expect(program.getSourceFiles().some(({ fileName }) => fileName.endsWith("dist/index.d.ts"))).toBe(true);
});

it("docs/api.md has a section on each export, and on nothing else", () => {
  const program = ts.createProgram(["src/index.ts"], OPTIONS);
  const checker = program.getTypeChecker();
  const source = program.getSourceFile("src/index.ts");
  const module = source && checker.getSymbolAtLocation(source);
  const exported = module ? checker.getExportsOfModule(module).map(({ name }) => name) : [];
  const titles = [...readFileSync("docs/api.md", "utf8").matchAll(/^##+ (.+)$/gm)];
  expect(titles.flatMap(([, title = ""]) => title.split(" and ")).sort()).toEqual(exported.sort());
});
