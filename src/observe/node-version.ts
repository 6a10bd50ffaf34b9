/** Checks whether a version of Node gets security fixes, and has the fix that this proxy needs. Pure. */

/** A release line of Node that gets security fixes, such as 24. */
interface NodeLine {
  /** The last day with security fixes, ISO 8601. Source: https://github.com/nodejs/Release. */
  readonly endOfLife: string;
  /**
   * The first version with the fix for CVE-2026-58044. Before it, Node's parser obeyed a `Content-Length` or `Transfer-Encoding`
   * after more than about 1000 header lines, and did not show the line to programs.
   */
  readonly fixed: string;
}

/** A line below the newest of these that is not here has ended: 20 on 2026-04-30, and all odd lines. */
const LINES: ReadonlyMap<number, NodeLine> = new Map([
  [22, { endOfLife: "2027-04-30", fixed: "22.23.2" }],
  [24, { endOfLife: "2028-04-30", fixed: "24.18.1" }],
  [26, { endOfLife: "2029-04-30", fixed: "26.5.1" }],
]);
const NEWEST_LINE = Math.max(...LINES.keys());
const DAY_MS = 86_400_000;

export interface NodeAdvice {
  /** Why the running version must be replaced. */
  readonly reason: string;
  /** What to install. */
  readonly install: string;
}

/**
 * @param version such as `v24.18.0`.
 * @returns undefined if the version has the fixes, or its line is newer than every line in this file.
 */
export function adviseOnNode(version: string, now: Date): NodeAdvice | undefined {
  const running = parseVersion(version);
  const [major] = running;
  if (major > NEWEST_LINE) return undefined;
  const line = LINES.get(major);
  if (line === undefined || hasEnded(line, now)) {
    return { reason: `Node ${major} no longer gets security fixes`, install: supportedAt(now) };
  }
  if (isOlder(running, parseVersion(line.fixed))) {
    return {
      reason: `Node ${running.join(".")} lacks the fix for CVE-2026-58044`,
      install: `Node ${line.fixed} or a later ${major}`,
    };
  }
  return undefined;
}

function hasEnded({ endOfLife }: NodeLine, now: Date): boolean {
  return now.getTime() >= Date.parse(endOfLife) + DAY_MS;
}

function supportedAt(now: Date): string {
  const versions = [...LINES.values()].filter((line) => !hasEnded(line, now)).map(({ fixed }) => fixed);
  return versions.length === 0
    ? `a Node newer than ${NEWEST_LINE}`
    : `Node ${versions.join(", ")} or a later version of ${versions.length === 1 ? "it" : "these lines"}`;
}

type Version = readonly [major: number, minor: number, patch: number];

function parseVersion(version: string): Version {
  const [, major, minor, patch] = /^v?(\d+)\.(\d+)\.(\d+)/.exec(version) ?? [];
  return [Number(major), Number(minor), Number(patch)];
}

function isOlder(one: Version, other: Version): boolean {
  for (const part of [0, 1, 2] as const) if (one[part] !== other[part]) return one[part] < other[part];
  return false;
}
