/** How a fault is put into one line, and how a value is shown without giving away a secret. Pure. */

const LONGEST_VALUE = 100;
const SECRET_NAME = /pass|secret|token|credential|auth/i;

/** A value and where it was given: a flag, a variable, a file; nowhere in particular for a caller's own object. */
export interface Given {
  readonly value: unknown;
  readonly from: string | undefined;
}

/**
 * Hides the user info of a URL. Greedy up to the last `@`, and also where the scheme was forgotten: this is shown for
 * what failed to parse, so it cannot rely on the text being a URL.
 */
export function redact(text: string): string {
  return text.replace(/(^|:)\/\/.*@/s, "$1//***@").replace(/^[^/:]+:(?!\/\/).*@/s, "***@");
}

function json(name: string, value: unknown): string {
  try {
    const shown = JSON.stringify({ [name]: value }, (key, inner: unknown) => {
      if (SECRET_NAME.test(key)) return "***";
      if (typeof inner === "string") return redact(inner);
      if (typeof inner === "number" && !Number.isFinite(inner)) return String(inner);
      return ["bigint", "function", "symbol", "undefined"].includes(typeof inner) ? String(inner) : inner;
    });
    return shown.slice(JSON.stringify(name).length + 2, -1);
  } catch {
    return "a value that contains itself"; // a YAML anchor can do that
  }
}

/** A value as JSON, cut where it gets long, without secrets. `name` is the key it was given for. */
export function show(name: string, value: unknown): string {
  const shown = json(name, value);
  return shown.length > LONGEST_VALUE ? `${shown.slice(0, LONGEST_VALUE)}...` : shown;
}

/** Control characters, line ends of any kind among them, as escapes: a fault stays one line whatever is in it. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** `KEY: VALUE (WHERE FROM): what is wrong`. */
export function faultLine(name: string, given: Given | undefined, wrong: string): string {
  const value = given === undefined ? [] : [show(name, given.value)];
  const from = given?.from === undefined ? [] : [`(${given.from})`];
  const subject = [...value, ...from].join(" ");
  return oneLine([redact(name), ...(subject === "" ? [] : [subject]), wrong].join(": "));
}
