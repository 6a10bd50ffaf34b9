/** The lines of a stream, such as another process's standard output. */
import type { Readable } from "node:stream";

/** @param onLine is called with each line, its `\n` included; the last line gets one if it has none. */
export function readLines(stream: Readable, onLine: (line: string) => void): void {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) onLine(`${line}\n`);
  });
  stream.once("end", () => {
    if (rest !== "") onLine(`${rest}\n`);
  });
}
