/** The result of one check. */

/**
 * - `ok`: good, or information only.
 * - `hint`: works, but has a risk that the detail names.
 * - `problem`: must be changed.
 * - `unknown`: could not be checked.
 */
export type Finding = "ok" | "hint" | "problem" | "unknown";

export interface CheckResult {
  readonly check: string;
  readonly finding: Finding;
  /** One line. */
  readonly detail: string;
  /** What to do, in one line. */
  readonly remedy?: string;
  /** The measured values, for programs. */
  readonly facts?: Readonly<Record<string, string | number | boolean>>;
}

export type Outcome = Omit<CheckResult, "check">;

export const ok = (detail: string, facts?: CheckResult["facts"]): Outcome => ({
  finding: "ok",
  detail,
  ...(facts === undefined ? {} : { facts }),
});

export const hint = (detail: string, remedy: string, facts?: CheckResult["facts"]): Outcome => ({
  finding: "hint",
  detail,
  remedy,
  ...(facts === undefined ? {} : { facts }),
});

export const problem = (detail: string, remedy?: string): Outcome => ({
  finding: "problem",
  detail,
  ...(remedy === undefined ? {} : { remedy }),
});

export const unknown = (detail: string, remedy?: string): Outcome => ({
  finding: "unknown",
  detail,
  ...(remedy === undefined ? {} : { remedy }),
});
