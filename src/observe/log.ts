/** Structured log: each line is one JSON object, or readable text on a terminal. Callers never log whole headers. */
import { pino } from "pino";
import { MAX_TEXT_LENGTH } from "./cut-text.js";
import { createLogOutput, type LogDestination, MAX_LINE_BYTES } from "./log-output.js";

/** Callers must name each field: an object of requests or headers may contain a token. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  /** If it returns false for `info`, the lines of uploads are not composed. Absent: all lines are composed. */
  isLevelEnabled?(level: LogLevel): boolean;
}

/** A log whose level can change. */
export interface LeveledLog extends Log {
  level: string;
}

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** Minimum length to which a string is cut if a line is too long, characters. An image id has 36. */
const MIN_STRING_LENGTH = 40;

/**
 * Cuts each string to 256 characters, of which the last is `…`, and each line to 4096 bytes.
 *
 * @param destination takes JSON lines. Default: standard output.
 */
export function createLog(level: LogLevel, destination: LogDestination = createLogOutput()): LeveledLog {
  const options = {
    level,
    base: null,
    formatters: {
      level: (label: string) => ({ level: label }),
      log: (fields: Record<string, unknown>) => cutStrings(fields, MAX_TEXT_LENGTH),
    },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
  };
  return pino(options, { write: (line) => void destination.write(fitLine(line)) });
}

/** Cuts strings further if the line is too long: an escaped character takes up to six bytes. */
function fitLine(line: string): string {
  // UTF-8 needs a maximum of three bytes for each UTF-16 code unit.
  if (line.length * 3 <= MAX_LINE_BYTES || Buffer.byteLength(line) <= MAX_LINE_BYTES) return line;
  const fields = JSON.parse(line) as Record<string, unknown>;
  for (let length = MAX_TEXT_LENGTH; length >= MIN_STRING_LENGTH; length = Math.floor(length * 0.75)) {
    const shorter = `${JSON.stringify(cutStrings(fields, length))}\n`;
    if (Buffer.byteLength(shorter) <= MAX_LINE_BYTES) return shorter;
  }
  const { level, time, msg } = fields;
  return `${JSON.stringify(cutStrings({ level, time, msg, reason: "too long to log" }, MAX_TEXT_LENGTH))}\n`;
}

function cutStrings(fields: Record<string, unknown>, length: number): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, cut(value, length)]));
}

function cut(value: unknown, length: number): unknown {
  if (typeof value === "string") return cutString(value, length);
  if (Array.isArray(value)) return value.map((element) => cut(element, length));
  if (isPlainObject(value)) return cutStrings(value, length);
  return value;
}

function cutString(text: string, length: number): string {
  if (text.length <= length) return text;
  // JSON would escape half of a surrogate pair.
  return `${text.slice(0, length - 1).replace(/[\uD800-\uDBFF]$/, "")}…`;
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}
