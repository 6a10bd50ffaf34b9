/** What a benchmark expects, and whether its run has shown it. Pure. */
export interface Expectation {
  readonly text: string;
  readonly found: string;
  /** Undefined where the run does not tell. */
  readonly holds: boolean | undefined;
}

export function expectationList(expectations: readonly Expectation[]): string {
  const verdict = { true: "holds", false: "**does not hold**", undefined: "not judged" };
  return expectations
    .map(({ text, holds, found }) => `- ${text}: ${verdict[`${holds}`]} (${found}).`)
    .join("\n");
}
