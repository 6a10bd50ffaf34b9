/**
 * The one rule for suites that need something which may not be installed: they are skipped loudly, and if
 * `CI=true` says that everything must be there, the absence is a failure instead.
 */
import { describe, it, type RunnerTask } from "vitest";
import { explainMissing, type Requirement } from "./provided.js";

/** `describe` for a suite that needs `requirements`. */
export function describeWith(requirements: readonly Requirement[], name: string, suite: () => void): void {
  const needs = explainMissing(requirements);
  if (needs === undefined) {
    describe(name, suite);
    return;
  }
  if (process.env["CI"] === "true") {
    describe(name, () => {
      it("has what it needs", () => {
        throw new Error(`${name} ${needs}`);
      });
    });
    return;
  }
  describe(name, () => {
    // Skipped because its hooks need what is missing. It is registered only so that the warning below can count its cases. With CI=true a
    // missing requirement is a failure, above.
    describe.skip("skipped", suite);
    it(`is not run: ${needs}`, ({ task, skip }) => {
      const cases = countCases(task.suite?.tasks ?? []) - 1;
      console.warn(`\nSKIPPED ${cases} cases of "${name}": ${needs}\n`);
      skip();
    });
  });
}

function countCases(tasks: readonly RunnerTask[]): number {
  return tasks.reduce((sum, task) => sum + (task.type === "suite" ? countCases(task.tasks) : 1), 0);
}
