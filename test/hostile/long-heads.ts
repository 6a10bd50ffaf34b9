/** Heads of so many lines that a reader may give up before the line that frames the body. */

/** Lines that mean nothing to Glance, and how many are needed for Node to hide those behind them. */
export const PADDINGS = {
  "lines with an underscore": (count = 1_100) => repeat("a_b: c", count),
  "lines that Connection names": (count = 2_000) => ["Connection: a", ...repeat("a:", count)],
  "lines of one name": (count = 1_100) => repeat("X-A: c", count),
  "lines of many names": (count = 1_100) =>
    Array.from({ length: count }, (_, index) => `x-${index.toString(36)}: c`),
} as const;

export type Padding = keyof typeof PADDINGS;

export const PADDING_NAMES = Object.keys(PADDINGS) as readonly Padding[];

export const FRAMINGS = ["Content-Length", "chunked"] as const;

export type Framing = (typeof FRAMINGS)[number];

/** The line that frames the payload, and the payload as it goes over the wire. */
export function framed(
  payload: string,
  framing: Framing,
): { readonly line: string; readonly payload: string } {
  return framing === "Content-Length"
    ? { line: `Content-Length: ${payload.length}`, payload }
    : {
        line: "Transfer-Encoding: chunked",
        payload: `${payload.length.toString(16)}\r\n${payload}\r\n0\r\n\r\n`,
      };
}

/** A whole upload of five bytes, of which it says that they are 99. */
export function hiddenUpload(id: string, token: string): string {
  return (
    hidden("PUT", `/v2/images/${id}/file`, token, ["x-openstack-image-size: 99", "Content-Length: 5"]) +
    "hello"
  );
}

/** An upload whose body is whatever comes next. */
export function hiddenOpenUpload(id: string, token: string): string {
  return hidden("PUT", `/v2/images/${id}/file`, token, ["Content-Length: 5000"]);
}

/** A request that takes the first line of whatever comes next for a header of no meaning, and the rest for its own. */
export function hiddenOpenDelete(id: string): string {
  return `DELETE /v2/images/${id} HTTP/1.1\r\nHost: glance.test\r\nX-Ignore: `;
}

function hidden(method: string, target: string, token: string, lines: readonly string[]): string {
  return [
    `${method} ${target} HTTP/1.1`,
    "Host: glance.test",
    `X-Auth-Token: ${token}`,
    "Content-Type: application/octet-stream",
    ...lines,
    "",
    "",
  ].join("\r\n");
}

function repeat(line: string, count: number): string[] {
  return new Array<string>(count).fill(line);
}
