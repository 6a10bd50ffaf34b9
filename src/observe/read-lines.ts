/** Reads the lines of a stream, such as a worker's standard output. */
import type { Readable } from "node:stream";

/** @param onLine called with each line including its `\n`. If the last line has no `\n`, one is added. */
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
