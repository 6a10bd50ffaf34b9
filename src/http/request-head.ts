/** A request's header lines as received, before Node joins or drops any. Pure. */

export interface HeaderLine {
  /** Lower case. */
  readonly name: string;
  readonly value: string;
}

export interface RequestHead {
  readonly lines: readonly HeaderLine[];
  /** All values of a header, in order. @param name lower case. */
  values(name: string): readonly string[];
}

/** @param rawHeaders Node's flat list: name, value, name, value ... */
export function createRequestHead(rawHeaders: readonly string[]): RequestHead {
  const lines: HeaderLine[] = [];
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    lines.push({ name: (rawHeaders[index] ?? "").toLowerCase(), value: rawHeaders[index + 1] ?? "" });
  }
  return new Head(lines);
}

/** @param head the text. What stands before the first line break is the request line, and is left out. */
export function readHead(head: string): RequestHead {
  const lines: HeaderLine[] = [];
  for (let start = head.indexOf("\r\n"); start !== -1;) {
    start += 2;
    const end = head.indexOf("\r\n", start);
    const line = end === -1 ? head.slice(start) : head.slice(start, end);
    const colon = line.indexOf(":");
    if (colon !== -1)
      lines.push({ name: line.slice(0, colon).toLowerCase(), value: line.slice(colon + 1).trim() });
    start = end;
  }
  return new Head(lines);
}

class Head implements RequestHead {
  constructor(readonly lines: readonly HeaderLine[]) {}

  values(name: string): readonly string[] {
    return valuesOf(this.lines, name);
  }
}

/** The flat list that Node's HTTP client accepts: name, value, name, value ... */
export function flatten(lines: readonly HeaderLine[]): string[] {
  const flat: string[] = [];
  for (const { name, value } of lines) flat.push(name, value);
  return flat;
}

/** All values of a header, in order. */
export function valuesOf(lines: readonly HeaderLine[], name: string): readonly string[] {
  const values: string[] = [];
  for (const line of lines) if (line.name === name) values.push(line.value);
  return values;
}

/** The values of each header, in order. */
export function linesByName(lines: readonly HeaderLine[]): Map<string, string[]> {
  const byName = new Map<string, string[]>();
  for (const { name, value } of lines) {
    const values = byName.get(name);
    if (values) values.push(value);
    else byName.set(name, [value]);
  }
  return byName;
}

/** RFC 9110, section 7.6.1, and older names that are still used. */
const HOP_BY_HOP = new Set([
  "connection",
  "http2-settings",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Kept even if `Connection` names them: without them the message would have another meaning. */
const MESSAGE_ITSELF = new Set(["content-length", "host"]);

/** The lines that a proxy may forward. */
export function endToEnd(lines: readonly HeaderLine[]): HeaderLine[] {
  const named = new Set(listElements(valuesOf(lines, "connection")).map((name) => name.toLowerCase()));
  return lines.filter(({ name }) => !HOP_BY_HOP.has(name) && (!named.has(name) || MESSAGE_ITSELF.has(name)));
}

/** @returns the elements of a header that is a list (RFC 9110, section 5.6.1), without empty ones. */
export function listElements(values: readonly string[]): string[] {
  return values
    .flatMap((value) => value.split(","))
    .map((element) => element.trim())
    .filter((element) => element !== "");
}
