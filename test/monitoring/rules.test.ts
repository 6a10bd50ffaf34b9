/** The alert rules: what promtool says of them, and what the operations guide does. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { describeWith } from "../support/requirements.js";
import { run } from "../support/run.js";
import { alerts, GUIDE_FILE, RULES_FILE, RULES_TEST_FILE, SCRAPE_FILE } from "./deployed.js";

const names = alerts.map(({ alert }) => alert).sort();
const headings = [...readFileSync(GUIDE_FILE, "utf8").matchAll(/^### (GlanceSizeProxy\w+)\n\n(?=\w)/gm)];

describeWith(["promtool"], "promtool", () => {
  it.each([
    ["check", "rules", RULES_FILE],
    ["test", "rules", RULES_TEST_FILE],
    ["check", "config", SCRAPE_FILE],
  ])("%s %s %s", async (...args) => {
    const { code, stdout, stderr } = await run("/usr/bin/promtool", args);
    expect(code, stdout + stderr).toBe(0);
  });
});

describe("each alert", () => {
  it("has a section in the operations guide, and each section has an alert", () => {
    expect(headings.map(([, name]) => name).sort()).toEqual(names);
  });

  it.each(alerts)("$alert has a severity, a description and a link to the guide", ({ alert, ...rule }) => {
    expect(["critical", "warning"]).toContain(rule.labels["severity"]);
    expect(rule.annotations).toEqual({
      summary: expect.stringMatching(/\w/) as string,
      description: expect.stringMatching(/\w/) as string,
      runbook: `${GUIDE_FILE}#${alert.toLowerCase()}`,
    });
  });

  it("has a test in which it fires, and one in which it does not", () => {
    const { tests } = parse(readFileSync(RULES_TEST_FILE, "utf8")) as {
      tests: { alert_rule_test: { alertname: string; exp_alerts?: unknown[] }[] }[];
    };
    const cases = tests.flatMap((one) => one.alert_rule_test);
    const tested = (raised: boolean) =>
      cases
        .filter(({ exp_alerts = [] }) => exp_alerts.length > 0 === raised)
        .map(({ alertname }) => alertname);
    expect([...new Set(tested(true))].sort()).toEqual(names);
    expect([...new Set(tested(false))].sort()).toEqual(names);
  });
});
