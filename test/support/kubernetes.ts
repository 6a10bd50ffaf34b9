/** What Kubernetes' own schemas say of manifests, without a cluster. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseAllDocuments } from "yaml";
import { run } from "./run.js";

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels: Record<string, string> };
  readonly [key: string]: unknown;
}

export function parseManifests(text: string): Manifest[] {
  return parseAllDocuments(text)
    .map((document) => document.toJS() as Manifest | null)
    .filter((manifest) => manifest !== null);
}

/** Where the schemas of a group are kept. */
function moduleOf({ apiVersion }: Manifest): string {
  return apiVersion.startsWith("monitoring.coreos.com/")
    ? `@kubernetes-models/prometheus-operator/${apiVersion}`
    : `kubernetes-models/${apiVersion}`;
}

/**
 * What is wrong with them: nothing, if all is well. Their JSON schemas find what is missing or of the wrong type, the
 * TypeScript types made from the same schemas find what there is not.
 */
export async function complaintsAbout(manifests: readonly Manifest[]): Promise<string[]> {
  const complaints: string[] = [];
  let source = "";
  for (const [index, manifest] of manifests.entries()) {
    const name = `${manifest.kind} ${manifest.metadata.name}`;
    const models = (await import(moduleOf(manifest))) as Record<
      string,
      new (data: Manifest) => { validate(): void }
    >;
    const Model = models[manifest.kind];
    if (!Model) {
      complaints.push(`${name}: ${manifest.apiVersion} has no ${manifest.kind}`);
      continue;
    }
    try {
      new Model(manifest).validate();
    } catch (error) {
      complaints.push(`${name}: ${(error as Error).message}`);
    }
    source += `import type { I${manifest.kind} as I${index} } from "${moduleOf(manifest)}";\n`;
    source += `export const m${index}: I${index} = ${JSON.stringify(manifest, undefined, 1)};\n`;
  }
  return [...complaints, ...(await compile(source))];
}

async function compile(source: string): Promise<string[]> {
  // Below this project, so that its packages are found.
  const cache = resolve("node_modules/.cache");
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(join(cache, "manifests-"));
  try {
    writeFileSync(join(folder, "manifests.ts"), source);
    const options = ["--ignoreConfig", "--noEmit", "--strict", "--skipLibCheck", "--lib", "es2023"];
    const tsc = [
      resolve("node_modules/typescript/bin/tsc"),
      ...options,
      "--module",
      "nodenext",
      "manifests.ts",
    ];
    const { stdout, stderr } = await run(process.execPath, tsc, { cwd: folder });
    return (stdout + stderr).split("\n").filter((line) => line !== "");
  } finally {
    rmSync(folder, { recursive: true });
  }
}
