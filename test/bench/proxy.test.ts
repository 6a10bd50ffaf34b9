/** The benchmark beside the peers, at a size that says nothing of speed: that it measures all and writes its page. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { describeWith } from "../support/requirements.js";
import { type CommandResult, run } from "../support/run.js";

const TIMEOUT_MS = 240_000;
const PEERS = ["nginx as shipped", "nginx, 1 MiB buffer", "HAProxy", "bare http-proxy", "this proxy"];

function bench(...args: string[]): Promise<CommandResult> {
  const env = process.env as Record<string, string>;
  return run("npm", ["run", "--silent", "bench", "--", ...args], { env, timeoutMs: TIMEOUT_MS });
}

describeWith(["cc", "haproxy", "nginx"], "npm run bench", () => {
  it(
    "measures every peer under every workload, and none fails",
    async () => {
      const directory = await mkdtemp(join(tmpdir(), "bench-proxy-test-"));
      onTestFinished(() => rm(directory, { recursive: true, force: true }));
      const page = join(directory, "RESULTS.md");
      const { code, stderr } = await bench("--mib", "8", "--rounds", "1", "--output", page);
      expect(code, stderr).toBe(0);

      const text = await readFile(page, "utf8");
      expect(text).not.toContain("failed");
      expect(text).not.toContain("NaN");
      const [workloads, growth] = text.split("## How the cost of this proxy grows");
      const sections = workloads?.split("\n## ").slice(1) ?? [];
      expect(sections).toHaveLength(7);
      for (const section of sections) {
        const rows = section.matchAll(/^\| (\w[^|]*?) +\|(?: +-?[\d.]+ +\|)+$/gm);
        expect(Array.from(rows, ([, peer]) => peer)).toEqual(PEERS);
      }
      expect(growth).toMatch(/1 MiB, 8 at once, 2 workers/);
      expect(text.match(/: (holds|\*\*does not hold\*\*) \([\d.]+\)\.$/gm)).toHaveLength(15);
    },
    TIMEOUT_MS,
  );

  it(
    "says what it does not take, and measures nothing",
    async () => {
      expect(await bench("--mib", "much")).toEqual({
        code: 2,
        stdout: "",
        stderr: '--mib: "much": must be an integer of at least 1\n',
      });
    },
    TIMEOUT_MS,
  );
});
