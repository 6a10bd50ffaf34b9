/** Markdown that a program writes, so that no figure is typed by hand; formatted as the project's own. */
import { readFile, writeFile } from "node:fs/promises";
import { format, resolveConfig } from "prettier";

/** Replaces what stands between `<!-- name -->` and `<!-- /name -->`. @throws where the file has no such section. */
export async function writeSection(file: string, name: string, content: string): Promise<void> {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const text = await readFile(file, "utf8");
  const [before, rest, ...more] = text.split(begin);
  const after = rest?.split(end)[1];
  if (after === undefined || more.length > 0) throw new Error(`${file} has to have one ${begin} ... ${end}`);
  await writePage(file, `${before}${begin}\n\n${content}\n\n${end}${after}`);
}

export async function writePage(file: string, text: string): Promise<void> {
  await writeFile(file, await formatPage(text));
}

export async function formatPage(text: string): Promise<string> {
  const style = await resolveConfig("README.md"); // the project's, wherever the page is written
  return format(text, { ...style, parser: "markdown" });
}
