import { expect, it } from "vitest";
import { createLogOutput, MAX_LINE_BYTES, type OutputStream } from "../../../src/observe/log-output.js";

const KIB = 1024;

/** Takes what it is given when it is told to, or at once. */
class Reader implements OutputStream {
  readonly writes: string[] = [];
  #waiting: { readonly text: string; readonly done: (error?: Error | null) => void }[] = [];

  constructor(public reads: boolean) {}

  get writableLength(): number {
    return this.#waiting.reduce((sum, { text }) => sum + text.length, 0);
  }

  write(text: string, done: (error?: Error | null) => void): void {
    if (this.reads) this.#take(text, done);
    else this.#waiting.push({ text, done });
  }

  /** Takes one write. */
  read(error?: Error): void {
    const [next, ...others] = this.#waiting;
    this.#waiting = others;
    if (!next) throw new Error("nothing was written");
    if (error) next.done(error);
    else this.#take(next.text, next.done);
  }

  readAll(): void {
    while (this.#waiting.length > 0) this.read();
    this.reads = true;
  }

  get waits(): number {
    return this.#waiting.length;
  }

  get text(): string {
    return this.writes.join("");
  }

  #take(text: string, done: () => void): void {
    this.writes.push(text);
    process.nextTick(done); // as Node's streams do, of what was taken at once
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const line = (length: number, letter = "x"): string => `${letter.repeat(length - 1)}\n`;
const noticesIn = (text: string) =>
  text
    .split("\n")
    .filter((one) => one.includes("were dropped"))
    .map((one) => JSON.parse(one) as Record<string, unknown>);

it("writes each line immediately, however many are logged in one turn", () => {
  const reader = new Reader(true);
  const output = createLogOutput(reader);
  for (const letter of ["a", "b", "c"]) output.write(line(10, letter));
  expect(reader.writes).toEqual(["a", "b", "c"].map((letter) => line(10, letter)));
  expect(output.dropped).toBe(0);
});

it("waits until the stream has accepted a write, then writes whole lines of at most 4096 bytes", async () => {
  const reader = new Reader(false);
  const output = createLogOutput(reader);
  for (let count = 0; count < 20; count += 1) output.write(line(KIB));
  expect(reader.waits).toBe(1);
  while (reader.waits > 0) {
    expect(reader.waits).toBe(1);
    reader.read();
    await settled();
  }
  expect(reader.text).toBe(line(KIB).repeat(20));
  for (const text of reader.writes) {
    expect(text.length).toBeLessThanOrEqual(MAX_LINE_BYTES);
    expect(text.endsWith("\n")).toBe(true);
  }
  expect(reader.writes.length).toBeLessThan(10);
});

it("keeps 1 MiB of lines, drops the rest, and reports once how many were dropped", async () => {
  const reader = new Reader(false);
  const output = createLogOutput(reader);
  for (let count = 0; count < 3000; count += 1) output.write(line(KIB));
  const kept = 3000 - output.dropped;
  expect(kept).toBe(1025); // one is with the stream
  const { dropped } = output;
  // None of these is taken before half of it is gone: there is to be one gap.
  reader.read();
  await settled();
  output.write(line(KIB));
  expect(output.dropped).toBe(dropped + 1);
  reader.readAll();
  await settled();
  output.write(line(KIB, "y"));
  expect(noticesIn(reader.text)).toEqual([
    {
      level: "warn",
      time: expect.any(String) as string,
      dropped: dropped + 1,
      reason: "standard output was not read in time",
      msg: "log lines were dropped",
    },
  ]);
  const lines = reader.text.trimEnd().split("\n");
  expect(lines.findIndex((one) => one.includes("were dropped"))).toBe(kept);
  expect(lines.at(-1)).toBe(line(KIB, "y").trimEnd());
  expect(lines).toHaveLength(kept + 2);
});

it("limits the kept lines by bytes, not by characters", () => {
  const output = createLogOutput(new Reader(false));
  for (let count = 0; count < 3000; count += 1) output.write(line(KIB, "é"));
  expect(3000 - output.dropped).toBeLessThan(1025 * 0.51);
});

it("counts lines that could not be written, and reports them with the next one that can", async () => {
  const reader = new Reader(false);
  const output = createLogOutput(reader);
  const full = Object.assign(new Error("no space"), { code: "ENOSPC" });
  output.write(line(10, "a"));
  output.write(line(10, "b"));
  output.write(line(10, "c"));
  reader.read(full);
  reader.read(full); // b and c, in one write
  expect(output.dropped).toBe(3);
  expect(reader.waits).toBe(0); // or a full disk would be written to for ever
  output.write(line(10, "d"));
  reader.read(full); // the notice is no line of the log's, and what it told is told again
  expect(output.dropped).toBe(4);
  output.write(line(10, "e"));
  reader.readAll();
  await settled();
  expect(noticesIn(reader.text)).toMatchObject([{ dropped: 4, reason: "ENOSPC" }]);
  expect(reader.text.endsWith(line(10, "e"))).toBe(true);
  expect(output.dropped).toBe(4);
});

it("waits on exit for a reader that still reads, but not for one that has stopped", async () => {
  const reader = new Reader(false);
  const output = createLogOutput(reader);
  await output.flush(1); // nothing waits
  for (let count = 0; count < 20; count += 1) output.write(line(KIB));
  const reading = setInterval(() => reader.read(), 1);
  await output.flush(10_000);
  clearInterval(reading);
  expect(reader.text).toBe(line(KIB).repeat(20));
  output.write(line(KIB));
  await output.flush(1);
  expect(reader.waits).toBe(1);
});

it("writes readable lines if the stream is a terminal", () => {
  const reader = Object.assign(new Reader(true), { isTTY: true });
  createLogOutput(reader).write('{"level":"info","time":"2026-11-02T10:15:00.123Z","a":1,"msg":"hello"}\n');
  expect(reader.text).toBe("10:15:00.123 INFO  hello  a=1\n");
});
