/** Structured log: one JSON object a line, or, on a terminal, one readable line. No header is ever logged whole. */
import { pino } from "pino";
import { createLogOutput, MAX_LINE_BYTES, type LogDestination } from "./log-output.js";

/** Callers name each field. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** A longer string of a field is cut, characters. Clients choose many of them. */
const MAX_STRING_LENGTH = 256;
/** No string is cut shorter than this for a line's length, characters: an image's id has 36. */
const MIN_STRING_LENGTH = 40;

/**
 * Each string is cut to 256 characters, the last of them `…`, and no line has more than 4096 bytes.
 * @param destination takes JSON lines. Default: standard output.
 */
export function createLog(level: LogLevel, destination: LogDestination = createLogOutput()): Log {
  const options = {
    level,
    base: null,
    formatters: {
      level: (label: string) => ({ level: label }),
      log: (fields: Record<string, unknown>) => cutStrings(fields, MAX_STRING_LENGTH),
    },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
  };
  return pino(options, { write: (line) => void destination.write(fitLine(line)) });
}

/** Escapes make up to six bytes of a character, so many long strings may still be too much together. */
function fitLine(line: string): string {
  // UTF-8 has at most three bytes for a UTF-16 unit.
  if (line.length * 3 <= MAX_LINE_BYTES || Buffer.byteLength(line) <= MAX_LINE_BYTES) return line;
  const fields = JSON.parse(line) as Record<string, unknown>;
  for (let length = MAX_STRING_LENGTH; length >= MIN_STRING_LENGTH; length = Math.floor(length * 0.75)) {
    const shorter = `${JSON.stringify(cutStrings(fields, length))}\n`;
    if (Buffer.byteLength(shorter) <= MAX_LINE_BYTES) return shorter;
  }
  const { level, time, msg } = fields;
  return `${JSON.stringify(cutStrings({ level, time, msg, reason: "too long to log" }, MAX_STRING_LENGTH))}\n`;
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
  // Half of a pair would be six bytes of escape.
  return `${text.slice(0, length - 1).replace(/[\uD800-\uDBFF]$/, "")}…`;
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}
