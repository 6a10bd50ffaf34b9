import { expect, it } from "vitest";
import { createLog, forPeople } from "../../../src/observe/log.js";
import { describeWith } from "../../support/requirements.js";
import { run } from "../../support/run.js";

function lines(act: (log: ReturnType<typeof createLog>) => void): string[] {
  const written: string[] = [];
  act(createLog("info", forPeople({ write: (line) => written.push(line) })));
  return written;
}

it("writes one line for people, with the time, the level and each field", () => {
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

it("gives a terminal nothing that a client could steer it with", () => {
  const [line = ""] = lines((log) => log.info({ userAgent: "\x1b[2J\u009b0m\nforged" }, "upload"));
  expect(line.replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
  expect(line.match(/\n/g)).toHaveLength(1);
  expect(line).toContain("forged");
});

it("leaves out what is below its level", () => {
  expect(lines((log) => log.debug({}, "detail"))).toEqual([]);
});

describeWith(["script"], "on a terminal", () => {
  it("is for people; into a pipe it is JSON", async () => {
    const program =
      'import("./dist/observe/log.js").then(({ createLog }) => createLog("info").info({ a: 1 }, "hello"))';
    const command = `'${process.execPath}' -e '${program}'`;
    const terminal = await run("/usr/bin/script", ["-qec", command, "/dev/null"], { cwd: process.cwd() });
    expect(terminal.stdout).toMatch(/^\d\d:\d\d:\d\d\.\d{3} INFO {2}hello {2}a=1\r\n$/);
    const pipe = await run(process.execPath, ["-e", program], { cwd: process.cwd() });
    expect(JSON.parse(pipe.stdout)).toMatchObject({ level: "info", msg: "hello", a: 1 });
  });
});
