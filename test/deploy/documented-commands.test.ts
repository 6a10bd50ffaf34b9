/**
 * The commands of the documentation, run as they stand there (blocks marked `sh`). Those that need a cluster, a container engine
 * or a machine of their own are marked `console`; container.test.ts, npm-package.test.ts and systemd.test.ts have what they run.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Glance } from "../support/real-glance.js";
import { describeWith } from "../support/requirements.js";
import { run } from "../support/run.js";
import { startStandIn } from "../support/stand-in.js";

/** Whoever runs this test has run them. */
const BEFORE_THIS = /^npm (?:test|install && npm run build)\b.*\n/gm;

const documents = execFileSync("git", ["ls-files", "README.md", "docs/*.md"], { encoding: "utf8" });
const blocks = documents
  .trim()
  .split("\n")
  .flatMap((file) => [...readFileSync(file, "utf8").matchAll(/^```sh\n(.*?)^```$/gms)])
  .map(([, block = ""]) => block.replaceAll(BEFORE_THIS, ""))
  .filter((block) => block.trim() !== "");

describeWith(["helm", "systemd", "haproxy"], "the commands of the documentation", () => {
  let folder: string;
  let glance: Glance;
  let env: Record<string, string>;
  beforeAll(async () => {
    execFileSync(process.execPath, ["scripts/prepare.mjs"], { stdio: "ignore" });
    folder = mkdtempSync(join(tmpdir(), "commands-"));
    writeFileSync(
      join(folder, "glance-size-proxy"),
      `#!/bin/sh\nexec ${process.execPath} ${resolve("dist/cli.js")} "$@"\n`,
      { mode: 0o755 },
    );
    symlinkSync("/usr/local/bin/helm4", join(folder, "helm"));
    env = {
      PATH: `${folder}:${dirname(process.execPath)}:/usr/sbin:/usr/bin:/bin`,
      HOME: folder,
      GLANCE_SIZE_PROXY_ADMIN__ADDRESS: "127.0.0.1:0",
    };
    glance = await startStandIn();
  });
  afterAll(async () => {
    await glance.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const here = (block: string): string =>
    block.replace(/0\.0\.0\.0:\d+/, "127.0.0.1:0").replace(/http:\/\/127\.0\.0\.1:\d{2,}/, glance.url);
  const serving = blocks.filter((block) => /--listen |run demo/.test(block));

  it("are found in the documents", () => {
    expect(blocks.length - serving.length).toBeGreaterThanOrEqual(6);
    expect(serving.length).toBeGreaterThanOrEqual(3);
  });

  it.each(blocks.filter((block) => !serving.includes(block)))("%s", async (block) => {
    const { code, stdout, stderr } = await run("/bin/sh", ["-euc", here(block)], { env });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).not.toBe("");
  });

  it.each(serving)("%s keeps serving", async (block) => {
    const child = spawn("/bin/sh", ["-euc", here(block)], {
      env,
      stdio: ["ignore", "pipe", "inherit"],
      detached: true,
    });
    const exited = once(child, "exit");
    try {
      let url: string | undefined;
      for await (const line of createInterface({ input: child.stdout })) {
        url = /http:\/\/127\.0\.0\.1:\d+/.exec(line)?.[0];
        if (url !== undefined) break;
      }
      expect((await fetch(new URL("/versions", url))).status).toBe(200);
    } finally {
      process.kill(-(child.pid ?? 0), "SIGTERM");
      await exited;
    }
  });
});
