/** A line of the log for a terminal. Pure. */

/** `10:15:00.123 INFO  upload  outcome=completed receivedBytes=5`; a line that is not JSON stays as it is. */
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

/** As JSON, unless the value is a plain word: what a client sent must not steer the terminal. */
function plain(value: unknown): string {
  if (typeof value === "string" && /^[\w.:/@+-]+$/.test(value)) return value;
  // JSON leaves these as they are.
  return JSON.stringify(value).replace(/[\x7f-\x9f]/g, (byte) => `\\u00${byte.charCodeAt(0).toString(16)}`);
}
