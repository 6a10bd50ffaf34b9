import { STATUS_CODES } from "node:http";
import { describe, expect, it } from "vitest";
import { glanceError, reasonPhrase } from "../../../src/glance/error-body.js";

const EXPLANATION = "Size exceeds: expected 4 bytes, got 5 bytes";

const MEDIA_TYPES = {
  plain: "text/plain; charset=UTF-8",
  html: "text/html; charset=UTF-8",
  json: "application/json",
} as const;

/** What webob 1.8.6, the one below Glance, answered to each `Accept` when asked for an `HTTPBadRequest`. */
const SEEN_FROM_WEBOB: readonly (readonly [accept: string | undefined, type: keyof typeof MEDIA_TYPES])[] = [
  [undefined, "plain"],
  ["", "plain"],
  ["*/*", "html"],
  ["text/html", "html"],
  ["application/json", "json"],
  ["text/plain", "plain"],
  ["text/*", "html"],
  ["application/*", "json"],
  ["image/png", "plain"],
  ["application/json, text/html", "html"],
  ["text/html, application/json", "html"],
  ["text/html;q=0.5, application/json", "json"],
  ["application/json;q=0.5, text/html;q=0.4", "json"],
  ["text/html;q=0.9, application/json;q=0.9", "html"],
  ["*/*;q=0.1, application/json", "json"],
  ["text/html;q=0, */*", "json"],
  ["*/*;q=0", "plain"],
  ["application/json;q=0, */*", "html"],
  ["text/html;q=0, application/json;q=0", "plain"],
  ["text/*;q=0.3, */*;q=0.5", "json"],
  ["text/*;q=0, text/html", "html"],
  ["text/html;q=0, text/*", "plain"],
  ["application/json;q=1.000", "json"],
  ["application/json;q=1.0000", "html"],
  ["application/json;q=0.1234", "html"],
  ["application/json;q=1.1", "html"],
  ["application/json;q=.5", "html"],
  ["application/json;q=0.", "plain"],
  ["application/json;q=1.", "json"],
  ["application/json;q=", "html"],
  ["application/json;q=abc", "html"],
  ["APPLICATION/JSON", "json"],
  ["Application/Json;Q=0.5", "json"],
  ["application/json ; q=0.5", "json"],
  ["application/json;q=0.5;ext=1", "json"],
  ["application/json;charset=utf-8", "plain"],
  ['application/json;charset="a,b"', "plain"],
  ["text/html;level=1, application/json", "json"],
  ["text/html;level=1;q=0.5, */*;q=0.1", "html"],
  ['application/json;version="1"', "plain"],
  ["json", "html"],
  ["text", "html"],
  ["text/", "html"],
  ["/html", "html"],
  ["*", "html"],
  ["*/json", "plain"],
  ["text/html,", "html"],
  [",", "plain"],
  [", ,application/json", "json"],
  ["application/json;q=0.1, application/json;q=0.9, text/html;q=0.5", "html"],
  ["application/json;q=0.9, application/json;q=0.1, text/html;q=0.5", "json"],
  ["text/html;q=0.1, text/html;q=0.9, application/json;q=0.5", "json"],
  ["*/*;q=0.1, */*;q=0.9, application/json;q=0.5", "json"],
  ["text/*;q=0.9, text/html;q=0.1, application/json;q=0.5", "json"],
  ["text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", "html"],
  ["application/json, text/plain, */*", "html"],
  ["application/openstack-images-v2.1-json-patch", "plain"],
  ["application/vnd.openstack.images-v2.1+json", "plain"],
  ["application/json;q=0.5 text/html", "html"],
  ["application/json; q=0.5;", "html"],
  ["text/html\tapplication/json", "html"],
  ["application/json;=x", "html"],
  ["application/json; q = 0.5", "html"],
  ["application/json;foo", "html"],
  ["application/json;q=0.5;foo", "json"],
  ["application/json;a=b;q=0", "plain"],
  ["*/*;level=1", "html"],
  ['application/json;q="0.5"', "html"],
  ["text/html;q=0.0, application/json;q=0.001", "json"],
  ['application/json;charset="a\\"b";q=0.5', "plain"],
  ['*/*;q=0.5;foo="x,y"', "html"],
  ["text/html;Q=0,application/json;q=0.3", "json"],
  ["text/html ,application/json;q=0.5", "html"],
];

describe("the media type of an error", () => {
  it.each(SEEN_FROM_WEBOB)("for Accept: %s is %s, as webob has it", (accept, type) => {
    expect(glanceError(400, EXPLANATION, accept).contentType).toBe(MEDIA_TYPES[type]);
  });

  it.each([
    ["blanks", `text/html,${" ".repeat(60_000)}x`],
    ["commas", `${",".repeat(60_000)}x`],
    ["parameters", `text/html${";a=b".repeat(15_000)}\\`],
    ["an open quote", `text/html;a="${"\\\\".repeat(30_000)}`],
    ["extensions", `text/html;q=1${";a".repeat(30_000)}\\`],
  ])("is found in no time in a header full of %s", (_, accept) => {
    const startedAt = performance.now();
    expect(glanceError(400, EXPLANATION, accept).contentType).toBe(MEDIA_TYPES.html);
    expect(performance.now() - startedAt).toBeLessThan(500);
  });
});

describe("the body of an error", () => {
  it("is plain text: status line, then the explanation", () => {
    expect(glanceError(400, EXPLANATION, undefined).body).toBe(`400 Bad Request\n\n${EXPLANATION}\n\n   `);
  });

  it("is JSON with message, code and title, as webob writes them", () => {
    expect(JSON.parse(glanceError(400, EXPLANATION, "application/json").body)).toEqual({
      message: `${EXPLANATION}<br /><br />\n\n\n`,
      code: "400 Bad Request",
      title: "Bad Request",
    });
  });

  it("is a page with the explanation escaped", () => {
    const { body } = glanceError(413, `<script>"&'`, "*/*");
    expect(body).toContain("<title>413 Request Entity Too Large</title>");
    expect(body).toContain("<h1>413 Request Entity Too Large</h1>");
    expect(body).toContain("&lt;script&gt;&quot;&amp;");
    expect(body).toContain("<br /><br />");
    expect(body).not.toContain("<script>");
  });

  it("keeps an explanation whole in JSON, quotes and all", () => {
    const { body } = glanceError(400, `a "b" \\ \n é`, "application/json");
    expect((JSON.parse(body) as { message: string }).message).toContain(`a "b" \\ \n é`);
  });
});

describe("the reason phrase", () => {
  /** From webob's `status_map`, every status that this proxy answers with by itself. */
  it.each([
    [400, "Bad Request"],
    [404, "Not Found"],
    [408, "Request Timeout"],
    [411, "Length Required"],
    [413, "Request Entity Too Large"],
    [429, "Too Many Requests"],
    [431, "Request Header Fields Too Large"],
    [500, "Internal Server Error"],
    [501, "Not Implemented"],
    [502, "Bad Gateway"],
    [504, "Gateway Timeout"],
    [507, "Insufficient Storage"],
  ])("of %i is webob's", (status, phrase) => {
    expect(reasonPhrase(status)).toBe(phrase);
  });

  it("of 508 is Node's, webob knowing none", () => {
    expect(reasonPhrase(508)).toBe(STATUS_CODES[508]);
  });
});
