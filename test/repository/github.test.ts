/** What `.github` holds: workflows that GitHub's own parser takes, with commands and files that this repository has. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { JSONObjectReader } from "@actions/workflow-parser/templates/json-object-reader";
import { TemplateSchema } from "@actions/workflow-parser/templates/schema/index";
import {
  TemplateContext,
  TemplateValidationErrors,
} from "@actions/workflow-parser/templates/template-context";
import { readTemplate } from "@actions/workflow-parser/templates/template-reader";
import { NoOperationTraceWriter } from "@actions/workflow-parser/templates/trace-writer";
import { WORKFLOW_ROOT } from "@actions/workflow-parser/workflows/workflow-constants";
import { YamlObjectReader } from "@actions/workflow-parser/workflows/yaml-object-reader";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { z } from "zod";

interface Job {
  readonly uses?: string;
  readonly needs?: readonly string[];
  readonly strategy?: { readonly matrix: { readonly node: readonly string[] } };
  readonly steps?: readonly { readonly uses?: string; readonly run?: string }[];
}

const FOLDER = ".github/workflows";
const workflows = readdirSync(FOLDER).map((file) => {
  const text = readFileSync(`${FOLDER}/${file}`, "utf8");
  const { jobs } = parse(text) as { jobs: Readonly<Record<string, Job>> };
  return { file, text, jobs, steps: Object.values(jobs).flatMap(({ steps = [] }) => steps) };
});
const { scripts } = JSON.parse(readFileSync("package.json", "utf8")) as { scripts: Record<string, string> };

function jobsOf(name: string): Readonly<Record<string, Job>> {
  return workflows.find(({ file }) => file === name)?.jobs ?? {};
}

/** The package's own `parseWorkflow` imports JSON in a way that Node does not take. */
const SCHEMA = "node_modules/@actions/workflow-parser/dist/workflow-v1.0.min.json";

function faultsOf(file: string, text: string): string[] {
  const schema = TemplateSchema.load(new JSONObjectReader(undefined, readFileSync(SCHEMA, "utf8")));
  const context = new TemplateContext(new TemplateValidationErrors(), schema, new NoOperationTraceWriter());
  const id = context.getFileId(file);
  const reader = new YamlObjectReader(id, text);
  if (reader.errors.length === 0) readTemplate(context, WORKFLOW_ROOT, reader, id);
  return [...reader.errors, ...context.errors.getErrors()].map(({ message }) => message);
}

describe.each(workflows)("$file", ({ file, text, jobs, steps }) => {
  it("is valid for GitHub's parser", () => {
    expect(faultsOf(file, text)).toEqual([]);
    expect(faultsOf(file, text.replace("runs-on:", "run-on:"))).not.toEqual([]);
  });

  it("pins each action to a major version or to a commit", () => {
    for (const { uses } of steps) if (uses !== undefined) expect(uses).toMatch(/@(v\d+|[0-9a-f]{40})( |$)/);
  });

  it("runs nothing that this repository does not have", () => {
    const commands = steps.map(({ run }) => run ?? "").join("\n");
    for (const [, script = ""] of commands.matchAll(/\bnpm run (\S+)/g))
      expect(scripts).toHaveProperty(script);
    for (const [path] of commands.matchAll(/(?:\.ci|scripts)\/[\w./-]+/g)) {
      expect([path, existsSync(path)]).toEqual([path, true]);
    }
    for (const { uses } of Object.values(jobs)) if (uses !== undefined) expect(existsSync(uses)).toBe(true);
  });
});

it("CI runs on each line of Node that the script of CI runs on", () => {
  const script = readFileSync(".ci/run", "utf8");
  const lines = /\$\{OTHER_NODES-([\d ]+)\}/.exec(script)?.[1]?.split(" ").sort();
  expect(jobsOf("ci.yml")["check"]?.strategy?.matrix.node).toEqual(lines);
});

it("a release publishes nothing before everything is checked", () => {
  const jobs = jobsOf("release.yml");
  for (const publisher of ["package", "image"]) expect(jobs[publisher]?.needs).toEqual(["check", "notes"]);
  expect(jobs["release"]?.needs).toEqual(["package", "image"]);
});

it("Dependabot looks where its files are", () => {
  const { updates } = parse(readFileSync(".github/dependabot.yml", "utf8")) as {
    updates: { "package-ecosystem": string; directory: string }[];
  };
  const files = { npm: "package-lock.json", docker: "Dockerfile", "github-actions": FOLDER };
  expect(updates.map((update) => update["package-ecosystem"])).toEqual(Object.keys(files));
  for (const path of Object.values(files)) expect(existsSync(path)).toBe(true);
  expect(new Set(updates.map(({ directory }) => directory))).toEqual(new Set(["/"]));
});

describe("the issue forms", () => {
  const forms = readdirSync(".github/ISSUE_TEMPLATE").filter((file) => file !== "config.yml");
  const attributes = z.strictObject({
    label: z.string().max(120),
    description: z.string().optional(),
    placeholder: z.string().optional(),
    render: z.string().optional(),
    options: z.array(z.string()).optional(),
    multiple: z.boolean().optional(),
  });
  const field = z.strictObject({
    type: z.enum(["input", "textarea", "dropdown"]),
    id: z.string().regex(/^[\w-]+$/),
    attributes,
    validations: z.strictObject({ required: z.boolean() }).optional(),
  });
  const text = z.strictObject({
    type: z.literal("markdown"),
    attributes: z.strictObject({ value: z.string() }),
  });
  const form = z.strictObject({
    name: z.string(),
    description: z.string(),
    labels: z.array(z.string()),
    body: z.array(z.discriminatedUnion("type", [field, text])),
  });
  const read = (file: string): z.infer<typeof form> =>
    form.parse(parse(readFileSync(`.github/ISSUE_TEMPLATE/${file}`, "utf8")));
  const fieldsOf = (file: string): z.infer<typeof field>[] =>
    read(file).body.filter((part) => part.type !== "markdown");

  it.each(forms)("%s has fields of the kinds that GitHub knows, each with an id of its own", (file) => {
    const fields = fieldsOf(file);
    expect(new Set(fields.map(({ id }) => id)).size).toBe(fields.length);
    for (const { type, attributes } of fields) {
      expect([type, attributes.options !== undefined]).toEqual([type, type === "dropdown"]);
    }
  });

  it("a bug report asks for what a diagnosis needs", () => {
    const required = fieldsOf("bug.yml").filter(({ validations }) => validations?.required === true);
    expect(required.map(({ id }) => id)).toEqual(
      expect.arrayContaining(["version", "glance", "server", "store", "doctor", "log"]),
    );
  });
});
