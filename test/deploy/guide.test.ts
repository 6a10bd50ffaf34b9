/** The commands of docs/deployment.md that need neither a cluster nor a container engine, run as they stand there. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { version } from "../../src/version.js";
import type { Glance } from "../support/real-glance.js";
import { describeWith } from "../support/requirements.js";
import { run } from "../support/run.js";
import { startStandIn } from "../support/stand-in.js";

const GUIDE = "docs/deployment.md";
const guide = readFileSync(GUIDE, "utf8");
const blocks = [...guide.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = ""]) => block);

test("the guide links to files that are there, and to every folder of deploy that is for deploying", () => {
  const links = [...guide.matchAll(/\]\(([^)#]+)[^)]*\)/g)].map(([, link = ""]) => link);
  for (const link of links) expect([link, existsSync(join(dirname(GUIDE), link))]).toEqual([link, true]);
  const folders = execFileSync("git", ["ls-files", "deploy"], { encoding: "utf8" }).match(/^deploy\/[^/]+/gm);
  for (const folder of new Set(folders)) {
    if (/grafana|prometheus/.test(folder)) continue; // the operations guide has these
    expect([folder, links.some((link) => link.startsWith(`../${folder}/`))]).toEqual([folder, true]);
  }
});

test("what names a version of the proxy names this one", () => {
  const files = execFileSync("git", ["ls-files", "deploy"], { encoding: "utf8" }).trim().split("\n");
  const named = files.flatMap((file) => {
    const versions = readFileSync(file, "utf8").matchAll(
      /(?:glance-size-proxy[:@]|appVersion: )(\d+\.\d+\.\d+)/g,
    );
    return [...versions].map(([, found]) => [file, found]);
  });
  expect(named.map(([file]) => file)).toContain("deploy/helm/glance-size-proxy/Chart.yaml");
  expect(named.filter(([, found]) => found !== version)).toEqual([]);
});

describeWith(["helm", "systemd", "haproxy"], "the commands of the guide", () => {
  let folder: string;
  let glance: Glance;
  beforeAll(async () => {
    execFileSync(process.execPath, ["scripts/prepare.mjs"], { stdio: "ignore" });
    folder = mkdtempSync(join(tmpdir(), "guide-"));
    writeFileSync(
      join(folder, "glance-size-proxy"),
      `#!/bin/sh\nexec ${process.execPath} ${resolve("dist/cli.js")} "$@"\n`,
      { mode: 0o755 },
    );
    symlinkSync("/usr/local/bin/helm4", join(folder, "helm"));
    glance = await startStandIn();
  });
  afterAll(async () => {
    await glance.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test("are there", () => {
    expect(blocks.length).toBeGreaterThanOrEqual(5);
  });

  test.each(blocks)("%s", async (block) => {
    const here = block.replace("http://127.0.0.1:19292", glance.url);
    const env = { PATH: `${folder}:/usr/sbin:/usr/bin:/bin`, HOME: folder };
    const { code, stdout, stderr } = await run("/bin/sh", ["-euc", here], { env });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).not.toBe("");
  });
});
