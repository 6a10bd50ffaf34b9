/**
 * The body of an error as Glance writes it: webob's `WSGIHTTPException`, in the media type that the client's `Accept`
 * selects. glanceclient and openstackclient take the explanation out of exactly these shapes. Pure.
 */
import { STATUS_CODES } from "node:http";
import escapeHtml from "escape-html";

/** Where webob's title differs from Node's. */
const WEBOB_TITLES: Readonly<Record<number, string>> = { 413: "Request Entity Too Large" };

/** The reason phrase Glance sends with a status. */
export function reasonPhrase(status: number): string {
  return WEBOB_TITLES[status] ?? STATUS_CODES[status] ?? "Unknown";
}

export interface ErrorBody {
  readonly contentType: string;
  readonly body: string;
}

/**
 * @param accept the `Accept` header's value; absent and empty mean the same to webob.
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
      return { contentType: "text/plain; charset=UTF-8", body: `${line}\n\n${explanation}\n\n   ` };
  }
}

/** In webob's order: the first of those a client likes equally well is sent. */
const OFFERS = ["text/html", "application/json"] as const;

interface MediaRange {
  readonly type: string;
  readonly quality: number;
}

/**
 * webob's `acceptable_offers`: the most specific range that covers an offer gives its quality; among equals the order
 * of the offers decides, not the client's. A header that is not valid counts as "anything"; an empty one as "nothing".
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
  const covering = [offer, `${offer.slice(0, offer.indexOf("/"))}/*`, "*/*"];
  for (const type of covering) {
    const range = ranges.find((candidate) => candidate.type === type);
    if (range) return range.quality;
  }
  return 0;
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const RANGE = new RegExp(`^(${TOKEN}/${TOKEN})((?:\\s*;\\s*${TOKEN}=(?:${TOKEN}|"[^"]*"))*)$`);

function parseAccept(accept: string): MediaRange[] | undefined {
  const ranges: MediaRange[] = [];
  for (const element of accept.split(",")) {
    const text = element.trim();
    if (text === "") continue;
    const match = RANGE.exec(text);
    if (!match) return undefined;
    const [, type = "", parameters = ""] = match;
    const quality = /;\s*q=([^;\s]*)/i.exec(parameters)?.[1];
    if (quality !== undefined && !/^(0(\.\d{0,3})?|1(\.0{0,3})?)$/.test(quality)) return undefined;
    // A range with parameters of its own (`text/html;level=1`) covers no offer of ours, which have none.
    if (/;\s*(?!q=)/i.test(parameters.replace(/;\s*q=.*$/i, ""))) continue;
    ranges.push({ type: type.toLowerCase(), quality: quality === undefined ? 1 : Number(quality) });
  }
  return ranges;
}
