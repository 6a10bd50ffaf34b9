/** The benchmark itself, at a size that says nothing of speed: that it measures every cell and writes its section. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { CELLS } from "../../bench/glance/cells.js";
import { describeWith } from "../support/requirements.js";
import { type CommandResult, run } from "../support/run.js";

const TIMEOUT_MS = 240_000;

describeWith(["glance-api", "boto3", "nginx"], "npm run bench:glance", () => {
  let directory: string;
  let readme: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "bench-glance-test-"));
    readme = join(directory, "README.md");
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  function bench(...args: string[]): Promise<CommandResult> {
    const env = process.env as Record<string, string>;
    const options = ["--sizes", "6MiB", "--rounds", "1", "--readme", readme, ...args];
    return run("npm", ["run", "--silent", "bench:glance", "--", ...options], { env, timeoutMs: TIMEOUT_MS });
  }

  it(
    "measures every way and body, and writes its section of the README and nothing else",
    async () => {
      await writeFile(
        readme,
        "# Before\n\n<!-- bench:glance -->\n\nStale figures\n\n<!-- /bench:glance -->\n\nAfter\n",
      );
      const { code, stdout, stderr } = await bench();
      // 1 if an expectation does not hold: at this size, and beside other tests, that is chance.
      expect([0, 1], stderr).toContain(code);

      const row =
        / {2}\d+\.\d\d s {2}×\d+\.\d\d {2}[\d.]+ \([\d.]+\) +\d+ MiB {2}×\d+\.\d\d(?: {2}(\d+) MiB +(\d+) MiB)?$/;
      for (const { way, body } of CELLS) {
        const line = stdout
          .split("\n")
          .find((one) => one.startsWith("6 MiB") && one.includes(` ${way}  `) && one.includes(` ${body}  `));
        const [, memory, disk] = row.exec(line ?? "") ?? [];
        expect([line, Number(memory) > 0], stdout).toEqual([expect.stringMatching(row), way !== "direct"]);
        if (way === "direct") continue;
        const isKept = way === "nginx, buffering" || way === "proxy, spool";
        expect([way, Number(disk) > 0]).toEqual([way, isKept]);
      }

      const text = await readFile(readme, "utf8");
      const [, section] =
        /^# Before\n\n<!-- bench:glance -->\n\n([^]*)\n\n<!-- \/bench:glance -->\n\nAfter\n$/.exec(text) ??
        [];
      expect(section?.match(/^\| (direct|proxy|nginx)/gm)).toHaveLength(CELLS.length);
      expect(section).toContain("`npm run bench:glance -- --sizes 6MiB --rounds 1 --readme");
      expect(section).not.toContain("Stale figures");
    },
    TIMEOUT_MS,
  );

  it(
    "says what it does not take, and measures nothing",
    async () => {
      const { code, stdout, stderr } = await bench("--sizes", "5000000");
      expect({ code, stdout, stderr }).toEqual({
        code: 2,
        stdout: "",
        stderr: '--sizes: "5000000": must be whole MiB, such as 64MiB,1GiB\n',
      });
    },
    TIMEOUT_MS,
  );
});
