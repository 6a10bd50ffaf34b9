import fc from "fast-check";
import { expect, it } from "vitest";
import { forPeople } from "../../../src/observe/for-people.js";
import { createLog } from "../../../src/observe/log.js";

function lines(act: (log: ReturnType<typeof createLog>) => void): string[] {
  const written: string[] = [];
  act(createLog("info", { write: (line) => written.push(forPeople(line)) }));
  return written;
}

it("writes a readable line with the time, the level and each field", () => {
  const [line, ...more] = lines((log) =>
    log.warn({ outcome: "completed", receivedBytes: 5, peer: undefined, userAgent: "curl/7.88.1" }, "upload"),
  );
  expect(more).toEqual([]);
  expect(line).toMatch(
    /^\d\d:\d\d:\d\d\.\d{3} WARN {2}upload {2}outcome=completed receivedBytes=5 userAgent=curl\/7\.88\.1\n$/,
  );
});

it("writes a message without fields", () => {
  expect(lines((log) => log.info({}, "drained"))[0]).toMatch(/ INFO {2}drained\n$/);
});

it("escapes control sequences from clients on a terminal", () => {
  const [line = ""] = lines((log) => log.info({ userAgent: "\x1b[2J\u009b0m\nforged" }, "upload"));
  expect(line.replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
  expect(line.match(/\n/g)).toHaveLength(1);
  expect(line).toContain("forged");
});

/** The one line that these fields make, parsed. */
function logged(fields: object): Record<string, unknown> {
  const written: string[] = [];
  createLog("info", { write: (line) => written.push(line) }).info(fields, "upload");
  expect(written).toHaveLength(1);
  expect(Buffer.byteLength(written[0] ?? "")).toBeLessThanOrEqual(4096);
  expect(written[0]?.indexOf("\n")).toBe((written[0]?.length ?? 0) - 1);
  return JSON.parse(written[0] ?? "") as Record<string, unknown>;
}

it("cuts each string to 256 characters, at any depth", () => {
  const long = "x".repeat(40_000);
  const cut = `${"x".repeat(255)}…`;
  expect(logged({ whole: "x".repeat(256), long, list: [long, 1], inner: { long } })).toMatchObject({
    whole: "x".repeat(256),
    long: cut,
    list: [cut, 1],
    inner: { long: cut },
  });
});

it("never cuts a character in two", () => {
  expect(logged({ long: `${"x".repeat(254)}😀😀` })).toMatchObject({ long: `${"x".repeat(254)}…` });
});

it.each(["\u0001", '"', "€", "\ud800"])(
  "cuts what many long strings of %j make to 4096 bytes",
  (character) => {
    const fields = Object.fromEntries(
      Array.from({ length: 12 }, (_, index) => [`field${index}`, character.repeat(40_000)]),
    );
    const line = logged({
      ...fields,
      requestId: "req-5f0b7f4e-3a43-4b5f-9a8e-0d6d3e1d9a55",
      receivedBytes: 5,
    });
    for (const name of Object.keys(fields)) expect(String(line[name]).length).toBeGreaterThanOrEqual(40);
    expect(line).toMatchObject({ requestId: "req-5f0b7f4e-3a43-4b5f-9a8e-0d6d3e1d9a55", receivedBytes: 5 });
  },
);

it("marks a line that was too long to log", () => {
  expect(logged({ many: Array(5000).fill(1) })).toEqual({
    level: "info",
    time: expect.any(String) as string,
    reason: "too long to log",
    msg: "upload",
  });
});

it("logs any value as one line of at most 4096 bytes", () => {
  fc.assert(fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (fields) => void logged(fields)));
});

it("omits lines below the log level", () => {
  expect(lines((log) => log.debug({}, "detail"))).toEqual([]);
});
