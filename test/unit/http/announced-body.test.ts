import { describe, expect, it } from "vitest";
import { isEmpty, readAnnouncedBody, seemsShorter } from "../../../src/http/announced-body.js";
import { createRequestHead } from "../../../src/http/request-head.js";

const read = (...rawHeaders: string[]) => readAnnouncedBody(createRequestHead(rawHeaders));

describe("a head announces", () => {
  it("no body if it has no framing", () => {
    expect(read("Host", "a", "X-Content-Length", "5", "Content_Length", "5")).toEqual({ kind: "none" });
  });

  it.each([
    ["0", 0],
    ["10", 10],
    ["9007199254740991", Number.MAX_SAFE_INTEGER],
  ])("a body of Content-Length: %s", (value, bytes) => {
    expect(read("content-LENGTH", value)).toEqual({ kind: "length", bytes });
  });

  it.each(["05", "", "-0", "+5", "1e3", "5, 5", "9007199254740992", " 5", "\u0665"])(
    "nothing that all servers read alike, with Content-Length: %j",
    (value) => {
      expect(read("Content-Length", value)).toEqual({ kind: "invalid", value });
    },
  );

  it("an invalid body, with two Content-Length lines", () => {
    expect(read("Content-Length", "5", "content-length", "5")).toEqual({ kind: "invalid", value: "5, 5" });
  });

  it("a chunked body with any Transfer-Encoding, also beside a Content-Length", () => {
    expect(read("Transfer-Encoding", "gzip", "Content-Length", "5")).toEqual({ kind: "chunked" });
  });
});

describe("no byte can follow", () => {
  it.each([
    [{ kind: "none" }, true],
    [{ kind: "length", bytes: 0 }, true],
    [{ kind: "length", bytes: 1 }, false],
    [{ kind: "chunked" }, false],
    [{ kind: "invalid", value: "05" }, false],
  ] as const)("%j: %s", (announced, empty) => {
    expect(isEmpty(announced)).toBe(empty);
  });
});

describe("at a quick look, of a limit of 1000 bytes", () => {
  const looksShort = (lines: string) => seemsShorter(`PUT / HTTP/1.1\r\n${lines}\r\n\r\n`, 1000);

  it.each(["Content-Length: 999", "a: b\r\ncontent-length:0\r\nc: d", "CONTENT-LENGTH: \t 5 \t"])(
    "%j is shorter",
    (lines) => {
      expect(looksShort(lines)).toBe(true);
    },
  );

  it.each([
    "Content-Length: 1000",
    "Content-Length: 9999999999",
    "Transfer-Encoding: chunked",
    "X-Content-Length: 5",
    "a: Content-Length: 5",
    "Content-Length: -5",
  ])("%j may be longer", (lines) => {
    expect(looksShort(lines)).toBe(false);
  });
});
