/** The benchmark beside the peers, at a size that says nothing of speed: that it measures all and writes its page. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, it, onTestFinished } from "vitest";
import { workloads } from "../../bench/proxy/workloads.js";
import { describeWith } from "../support/requirements.js";
import { type CommandResult, run } from "../support/run.js";

const TIMEOUT_MS = 240_000;
const SMALL = ["--mib", "8", "--rounds", "1"];

/** As `npm run bench -- ARGS`, but for the compiler. */
function bench(...args: string[]): Promise<CommandResult> {
  return run(process.execPath, ["build/bench/proxy/main.js", ...args], { timeoutMs: TIMEOUT_MS });
}

/** Of each workload on the page, the proxies that were measured. */
function rowsOf(page: string): [workload: string, proxies: string[]][] {
  const [measured = ""] = page.split("\n## What is expected");
  return measured
    .split("\n## ")
    .slice(1)
    .map((section) => {
      const rows = section.matchAll(/^\| (\w[^|]*?) +\|(?: +-?[\d.]* +\|)+$/gm);
      return [section.slice(0, section.indexOf("\n")), Array.from(rows, ([, proxy = ""]) => proxy)];
    });
}

describeWith(["cc", "haproxy", "libssl", "nginx", "openssl"], "npm run bench", () => {
  beforeAll(async () => {
    const { code, stdout } = await run(process.execPath, [
      "node_modules/.bin/tsc",
      "-p",
      "tsconfig.bench.json",
    ]);
    expect(code, stdout).toBe(0);
  });

  it(
    "measures every workload, and writes the page",
    async () => {
      const directory = await mkdtemp(join(tmpdir(), "bench-proxy-test-"));
      onTestFinished(() => rm(directory, { recursive: true, force: true }));
      const file = join(directory, "RESULTS.md");
      const { code, stderr } = await bench(...SMALL, "--peers", "^nginx, 1 MiB", "--output", file);
      expect(code, stderr).toBe(0);

      const page = await readFile(file, "utf8");
      expect(page).not.toMatch(/failed|NaN|undefined/);
      expect(rowsOf(page)).toEqual(
        workloads(8)
          .filter(({ key }) => key !== "digested upload") // only this proxy checks digests
          .map(({ name }) => [name, ["nginx, 1 MiB buffers"]]),
      );
    },
    TIMEOUT_MS,
  );

  it(
    "measures every proxy, and prints the page of chosen workloads",
    async () => {
      const only = "^eight downloads|^TLS on both sides, one|^Unix socket to Glance, one|spooled upload of 2";
      const { code, stdout, stderr } = await bench(...SMALL, "--only", only);
      expect(code, stderr).toBe(0);
      expect(stdout).not.toMatch(/failed|NaN/);
      const nginx = ["nginx as shipped", "nginx, 1 MiB buffers"];
      const node = ["bare httpxy", "bare http-proxy", "this proxy"];
      const relays = ["C relay, copy", "C relay, splice"];
      expect(rowsOf(stdout)).toEqual([
        [
          "eight downloads of 1 MiB at once",
          [...nginx, "HAProxy", "HAProxy, splice", ...node, "this proxy, 2 workers", ...relays],
        ],
        ["TLS on both sides, one download of 2 MiB", [...nginx, "HAProxy", ...node]],
        ["TLS on both sides, one upload of 2 MiB", [...nginx, "HAProxy", ...node]],
        ["Unix socket to Glance, one download of 2 MiB", [...nginx, "HAProxy", "HAProxy, splice", ...node]],
        ["Unix socket to Glance, one upload of 2 MiB", [...nginx, "HAProxy", "HAProxy, splice", ...node]],
        ["one spooled upload of 2 MiB, chunks of 64 KiB, no size declared", [...nginx, "this proxy"]],
      ]);
      expect(stdout).toMatch(/: (holds|\*\*does not hold\*\*) \([\d.]+\)\.$/m);
    },
    TIMEOUT_MS,
  );

  it.each([
    [["--mib", "much"], '--mib: "much": must be an integer of at least 1\n'],
    [
      ["--only", "nothing like it"],
      '--only: "nothing like it" matches none of these:\n  one download of 4096 MiB\n',
    ],
  ])(
    "refuses %s, and measures nothing",
    async (args, message) => {
      const { code, stdout, stderr } = await bench(...args);
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(stderr).toContain(message);
    },
    TIMEOUT_MS,
  );
});
