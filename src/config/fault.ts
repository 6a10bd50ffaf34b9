/** Formats a fault as one line, and a value without its secrets. Pure. */

const MAX_VALUE_LENGTH = 100;
const SECRET_NAME = /pass|secret|token|credential|auth/i;

/** A value and its source: the name of a flag, variable or file. Undefined if a caller passed an object. */
export interface Given {
  readonly value: unknown;
  readonly from: string | undefined;
}

/**
 * Hides the user info of a URL: everything up to the last `@`, even if the scheme is missing. The text may have failed to parse, so
 * it need not be a URL.
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

/** @returns the value as JSON, without secrets, cut to 100 characters. @param name the key of the value. */
export function show(name: string, value: unknown): string {
  const shown = json(name, value);
  return shown.length > MAX_VALUE_LENGTH ? `${shown.slice(0, MAX_VALUE_LENGTH)}...` : shown;
}

/** Escapes control characters and line ends, so that a fault stays one line. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** @returns `KEY: VALUE (SOURCE): what is wrong`. */
export function faultLine(name: string, given: Given | undefined, wrong: string): string {
  const value = given === undefined ? [] : [show(name, given.value)];
  const from = given?.from === undefined ? [] : [`(${given.from})`];
  const subject = [...value, ...from].join(" ");
  return oneLine([redact(name), ...(subject === "" ? [] : [subject]), wrong].join(": "));
}
