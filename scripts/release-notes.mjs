// node scripts/release-notes.mjs TAG: prints the section of CHANGELOG.md for that tag. Fails if the tag, the package and the changelog
// do not name the same version.
import { readFileSync } from "node:fs";

const root = new URL("..", import.meta.url);
const tag = process.argv[2] ?? "";
const { version } = JSON.parse(readFileSync(new URL("package.json", root), "utf8"));

function fail(reason) {
  console.error(`release-notes: ${reason}`);
  process.exit(1);
}

if (tag !== `v${version}`) fail(`the tag is ${JSON.stringify(tag)}, and package.json wants v${version}`);

const sections = readFileSync(new URL("CHANGELOG.md", root), "utf8").split(/^## /m);
const section = sections.find((text) => text.startsWith(`[${version}] - `));
if (section === undefined) fail(`CHANGELOG.md has no section [${version}] - YYYY-MM-DD`);

const notes = section.slice(section.indexOf("\n")).trim();
if (notes === "") fail(`the section [${version}] of CHANGELOG.md is empty`);
console.log(notes);
