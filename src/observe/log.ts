/** Structured log on standard output: one JSON object a line, or, on a terminal, one readable line. No header is ever logged whole. */
import { pino } from "pino";

/** Callers name each field. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

export interface LogDestination {
  write(line: string): unknown;
}

/** @param destination takes JSON lines; standard output by default. */
export function createLog(level: LogLevel, destination?: LogDestination): Log {
  const options = {
    level,
    base: null,
    formatters: { level: (label: string) => ({ level: label }) },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
  };
  const to = destination ?? (process.stdout.isTTY ? forPeople(process.stdout) : undefined);
  // By itself pino writes from a thread, and at the process's end its last lines would pass one another.
  return pino(options, to ? { write: (line) => void to.write(line) } : pino.destination({ sync: true }));
}

/** `10:15:00.123 INFO  upload  outcome=completed receivedBytes=5` */
export function forPeople(terminal: LogDestination): LogDestination {
  return {
    write(line) {
      const { level, time, msg, ...fields } = JSON.parse(line) as Record<string, string>;
      const shown = Object.entries(fields).map(([name, value]) => `${name}=${plain(value)}`);
      const head = `${time?.slice(11, 23)} ${level?.toUpperCase().padEnd(5)} ${msg}`;
      return terminal.write([head, shown.join(" ")].filter((part) => part !== "").join("  ") + "\n");
    },
  };
}

/** As JSON wherever a plain word would not do: what a client sent may not steer the terminal. */
function plain(value: unknown): string {
  if (typeof value === "string" && /^[\w.:/@+-]+$/.test(value)) return value;
  // JSON leaves these as they are.
  return JSON.stringify(value).replace(/[\x7f-\x9f]/g, (byte) => `\\u00${byte.charCodeAt(0).toString(16)}`);
}
