/**
 * Error bodies in Glance's format: those of webob's `WSGIHTTPException`, in the media type that `Accept` selects. glanceclient and
 * openstackclient extract the explanation from exactly these formats. Pure.
 */
import { STATUS_CODES } from "node:http";
import escapeHtml from "escape-html";

/** Statuses for which webob's title differs from Node's. */
const WEBOB_TITLES: Readonly<Record<number, string>> = { 413: "Request Entity Too Large" };

/** The reason phrase that Glance sends with a status. */
export function reasonPhrase(status: number): string {
  return WEBOB_TITLES[status] ?? STATUS_CODES[status] ?? "Unknown";
}

export interface ErrorBody {
  readonly contentType: string;
  readonly body: string;
}

/**
 * @param accept the `Accept` header's value; webob treats absent and empty alike.
 */
export function glanceError(status: number, explanation: string, accept: string | undefined): ErrorBody {
  const title = reasonPhrase(status);
  const line = `${status} ${title}`;
  switch (negotiate(accept ?? "")) {
    case "text/html":
      return {
        contentType: "text/html; charset=UTF-8",
        body:
          `<html>\n <head>\n  <title>${line}</title>\n </head>\n <body>\n  <h1>${line}</h1>\n` +
          `  ${escapeHtml(explanation)}<br /><br />\n\n\n\n </body>\n</html>`,
      };
    case "application/json":
      return {
        contentType: "application/json",
        body: JSON.stringify({ message: `${explanation}<br /><br />\n\n\n`, code: line, title }),
      };
    case "text/plain":
      // webob puts the explanation on one line.
      return {
        contentType: "text/plain; charset=UTF-8",
        body: `${line}\n\n${explanation.replaceAll("\n", " ")}\n\n   `,
      };
  }
}

/** In webob's order: if the client accepts several equally, the first one is sent. */
const OFFERS = ["text/html", "application/json"] as const;

interface MediaRange {
  readonly type: string;
  /** Whether the range has parameters, such as `level=1`. */
  readonly narrowed: boolean;
  readonly quality: number;
}

/**
 * webob's `acceptable_offers`: the most specific matching range gives the quality of an offer. For equal qualities, the order of the
 * offers decides. An invalid header means "anything", an empty one "nothing".
 */
function negotiate(accept: string): (typeof OFFERS)[number] | "text/plain" {
  if (accept.trim() === "") return "text/plain";
  const ranges = parseAccept(accept);
  if (ranges === undefined) return OFFERS[0];
  let best: (typeof OFFERS)[number] | undefined;
  let bestQuality = 0;
  for (const offer of OFFERS) {
    const quality = qualityOf(offer, ranges);
    if (quality > bestQuality) {
      best = offer;
      bestQuality = quality;
    }
  }
  return best ?? "text/plain";
}

function qualityOf(offer: string, ranges: readonly MediaRange[]): number {
  const [group = ""] = offer.split("/");
  const range =
    // The offers have no parameters, so a range with parameters does not match, unless it is a wildcard.
    ranges.find(({ type, narrowed }) => type === offer && !narrowed) ??
    ranges.find(({ type }) => type === `${group}/*`) ??
    ranges.find(({ type }) => type === "*/*");
  return range?.quality ?? 0;
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const VALUE = `(?:${TOKEN}|"(?:[^"\\\\]|\\\\.)*")`;
const NEXT = "[ \\t]*;[ \\t]*";
const RANGE =
  `(${TOKEN}/${TOKEN})((?:${NEXT}(?!q=)${TOKEN}=${VALUE})*)` +
  `(?:${NEXT}q=(0(?:\\.[0-9]{0,3})?|1(?:\\.0{0,3})?)(?:${NEXT}${TOKEN}(?:=${VALUE})?)*)?`;
/** One list element with the comma after it. The list may have empty elements. */
const ELEMENT = `[ \\t]*(?:${RANGE}[ \\t]*)?(,|$)`;

/** @returns undefined if the header violates RFC 7231, section 5.3.2. */
function parseAccept(accept: string): MediaRange[] | undefined {
  const ranges: MediaRange[] = [];
  const element = new RegExp(ELEMENT, "iy");
  for (;;) {
    const match = element.exec(accept);
    if (!match) return undefined;
    const [, type, parameters, quality = "1", comma] = match;
    if (type !== undefined) {
      ranges.push({ type: type.toLowerCase(), narrowed: parameters !== "", quality: Number(quality) });
    }
    if (comma === "") return ranges;
  }
}
