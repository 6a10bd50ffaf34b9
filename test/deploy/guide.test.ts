/** docs/deployment.md and what it leads to. Its commands are run by documented-commands.test.ts. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { parse } from "yaml";
import { parseConfig } from "../../src/config/load.js";
import { version } from "../../src/vocabulary/version.js";

const GUIDE = "docs/deployment.md";
const guide = readFileSync(GUIDE, "utf8");

it("the deployment guide links only to existing files, and to every folder of deploy", () => {
  const links = [...guide.matchAll(/\]\(([^)#]+)[^)]*\)/g)].map(([, link = ""]) => link);
  for (const link of links) expect([link, existsSync(join(dirname(GUIDE), link))]).toEqual([link, true]);
  const folders = execFileSync("git", ["ls-files", "deploy"], { encoding: "utf8" }).match(/^deploy\/[^/]+/gm);
  for (const folder of new Set(folders)) {
    if (/grafana|prometheus/.test(folder)) continue; // the operations guide has these
    expect([folder, links.some((link) => link.startsWith(`../${folder}/`))]).toEqual([folder, true]);
  }
});

/** The sections of the second level, by their titles. */
const sections = new Map(
  guide
    .split(/^## /m)
    .slice(1)
    .map((section) => [section.slice(0, section.indexOf("\n")), section]),
);

it.each([
  "kolla-ansible",
  "openstack-helm",
  "OpenStack-Ansible",
  "RHOSO",
  "Charmed OpenStack",
  "DevStack",
  "On a machine",
])("the section on %s has checks for afterwards, and timeouts", (title) => {
  const section = sections.get(title);
  expect(section).toContain("](#before-and-after)");
  expect(section).toContain("](operations.md#timeouts)");
});

it("links within the deployment guide lead to existing sections", () => {
  const anchors = [...sections.keys()].map((title) => title.toLowerCase().replaceAll(" ", "-"));
  for (const [, anchor = ""] of guide.matchAll(/\]\(#([^)]+)\)/g)) expect(anchors).toContain(anchor);
});

it("the configurations in the deployment guide are valid", () => {
  const blocks = [...guide.matchAll(/^( *)```yaml\n(.*?)^ *```$/gms)];
  expect(blocks.length).toBeGreaterThan(0);
  for (const [, indent = "", block = ""] of blocks) {
    const yaml = block.replaceAll(new RegExp(`^${indent}`, "gm"), "");
    expect(parseConfig(parse(yaml) as Parameters<typeof parseConfig>[0]).upstream.url.host).not.toBe("");
  }
});

it("files in deploy name the current version of the proxy", () => {
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
