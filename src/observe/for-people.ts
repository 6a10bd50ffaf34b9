/** Formats a line of the log for a terminal. Pure. */

/** @returns such as `10:15:00.123 INFO  upload  outcome=completed receivedBytes=5`. A line that is not JSON is returned unchanged. */
export function forPeople(line: string): string {
  let parsed: Record<string, unknown>;
  try {
    parsed = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return line;
  }
  const { level, time, msg, ...fields } = parsed;
  const shown = Object.entries(fields).map(([name, value]) => `${name}=${plain(value)}`);
  const head = `${String(time).slice(11, 23)} ${String(level).toUpperCase().padEnd(5)} ${String(msg)}`;
  return [head, shown.join(" ")].filter((part) => part !== "").join("  ") + "\n";
}

/** As JSON, unless the value is a plain word: a value from a client must not contain control sequences of the terminal. */
function plain(value: unknown): string {
  if (typeof value === "string" && /^[\w.:/@+-]+$/.test(value)) return value;
  // JSON does not escape these control characters.
  return JSON.stringify(value).replace(/[\x7f-\x9f]/g, (byte) => `\\u00${byte.charCodeAt(0).toString(16)}`);
}
