import { PassThrough } from "node:stream";
import { expect, it } from "vitest";
import { readLines } from "../../../src/observe/read-lines.js";

it("readLines returns each line, however the bytes are split, and the rest at the end", async () => {
  const lines: string[] = [];
  const stream = new PassThrough();
  readLines(stream, (line) => lines.push(line));
  const bytes = Buffer.from("one\n\ntwo € \u2028 two\r\nthree");
  for (const byte of bytes) stream.write(Buffer.from([byte]));
  stream.end();
  await new Promise((resolve) => stream.once("close", resolve));
  expect(lines).toEqual(["one\n", "\n", "two € \u2028 two\r\n", "three\n"]);
});
