/** Reads the log of a proxy, line by line, in a fixed amount of memory. */
import { z } from "zod";
import { SIZE_SOURCES } from "../vocabulary/labels.js";

/** Longer than any line of the proxy, and than what a container runtime adds to it. */
const MAX_LINE_LENGTH = 64 * 1024;

/** Far from the limits of `Date`. */
const MAX_TIME_MS = 8e15;
/** A hundred years. A line with more is broken. */
const MAX_DURATION_SECONDS = 100 * 366 * 86_400;

const loggedUpload = z.object({
  startedAt: z.string().transform((time, context) => {
    const ms = Date.parse(time);
    if (Math.abs(ms) < MAX_TIME_MS) return ms;
    context.addIssue({ code: "custom", message: "not a time" });
    return z.NEVER;
  }),
  requestId: z.string(),
  imageId: z.string(),
  sizeSource: z.enum(SIZE_SOURCES),
  receivedBytes: z.int().nonnegative(),
  durationSeconds: z.number().nonnegative().max(MAX_DURATION_SECONDS),
  /** Text, because a later version may have more outcomes. */
  outcome: z.string(),
  verdict: z.string().optional(),
  verdictReason: z.string().optional(),
  reason: z.string().optional(),
  userAgent: z.string().optional(),
  peer: z.string().optional(),
});

/** What the log line of an upload says. `startedAt` is in milliseconds since 1970. */
export type LoggedUpload = z.output<typeof loggedUpload>;

/** `other`: not about an upload. `broken`: cut, or not a line of this program. */
export type LogLine =
  { readonly kind: "upload"; readonly upload: LoggedUpload } | { readonly kind: "other" | "broken" };

/**
 * Yields each line. A line that is too long is yielded as `undefined`.
 *
 * @param stream bytes of UTF-8.
 */
export async function* readLogLines(stream: AsyncIterable<Buffer>): AsyncGenerator<string | undefined> {
  const decoder = new TextDecoder();
  let rest = "";
  let isTooLong = false;
  for await (const bytes of stream) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      yield isTooLong ? undefined : line;
      isTooLong = false;
    }
    if (rest.length <= MAX_LINE_LENGTH) continue;
    isTooLong = true;
    rest = "";
  }
  if (isTooLong) yield undefined;
  else if (rest !== "") yield rest;
}

/** Reads a line of the proxy's log, with whatever stands before its JSON, such as the date and host of journald. */
export function readLogLine(line: string | undefined): LogLine {
  if (line === undefined) return { kind: "broken" };
  const start = line.indexOf("{");
  if (start === -1) return { kind: "other" };
  const fields = unwrap(parseObject(line.slice(start)));
  if (fields === undefined) return { kind: "broken" };
  if (fields["msg"] !== "upload") return { kind: "other" };
  const { success, data } = loggedUpload.safeParse(fields);
  return success ? { kind: "upload", upload: data } : { kind: "broken" };
}

/** `journalctl -o json` and Docker put the line into a field of theirs. */
function unwrap(fields: Record<string, unknown> | undefined): Record<string, unknown> | undefined {
  const line = fields?.["MESSAGE"] ?? fields?.["log"];
  return fields?.["msg"] === undefined && typeof line === "string" ? parseObject(line) : fields;
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
