/** docs/deployment.md and what it leads to. Its commands are run by documented-commands.test.ts. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { version } from "../../src/version.js";

const GUIDE = "docs/deployment.md";
const guide = readFileSync(GUIDE, "utf8");

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
  expect(readFileSync("deploy/openstack-helm/plugin.yaml", "utf8")).toMatch(
    new RegExp(`^version: ${version}$`, "m"),
  );
});
