import { describe, expect, it } from "vitest";
import { createRequestHead, endToEnd, readHead } from "../../../src/http/request-head.js";

/** Names that cross the proxy, given these raw headers. */
const crossing = (...rawHeaders: string[]) =>
  endToEnd(createRequestHead(rawHeaders).lines).map(({ name, value }) => `${name}: ${value}`);

describe("a request's head", () => {
  it("keeps every line as it came, in order, its name in lower case", () => {
    const head = createRequestHead(["X-A", "1", "Accept", "", "x-a", "2"]);
    expect(head.lines).toEqual([
      { name: "x-a", value: "1" },
      { name: "accept", value: "" },
      { name: "x-a", value: "2" },
    ]);
    expect(head.values("x-a")).toEqual(["1", "2"]);
    expect(head.values("accept")).toEqual([""]);
    expect(head.values("x-b")).toEqual([]);
  });
});

describe("the proxy forwards", () => {
  it.each([
    "Connection",
    "Keep-Alive",
    "Proxy-Connection",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "HTTP2-Settings",
  ])("no %s", (name) => {
    expect(crossing(name, "x", "X-Kept", "1")).toEqual(["x-kept: 1"]);
  });

  it("nothing that Connection names, whatever its case, on however many lines", () => {
    expect(
      crossing(
        "Connection",
        "X-One , x-two",
        "X-One",
        "1",
        "X-TWO",
        "2",
        "connection",
        "x-three",
        "X-Three",
        "3",
      ),
    ).toEqual([]);
  });

  it("what is named before Connection as well", () => {
    expect(crossing("X-One", "1", "Connection", "x-one")).toEqual([]);
  });

  it("Content-Length and Host, even if Connection names them: the message would be another one", () => {
    expect(crossing("Connection", "content-length, host", "Content-Length", "5", "Host", "a")).toEqual([
      "content-length: 5",
      "host: a",
    ]);
  });

  it("a repeated header as often as it came", () => {
    expect(crossing("X-A", "1", "X-A", "2")).toEqual(["x-a: 1", "x-a: 2"]);
  });
});

describe("the text of a head is read", () => {
  it("as Node reads it", () => {
    const text = "GET / HTTP/1.1\r\nHost: a\r\nX-A:1\r\nx-a:  2 \r\nEmpty:";
    const { lines } = createRequestHead(["Host", "a", "X-A", "1", "x-a", "2", "Empty", ""]);
    expect(readHead(text).lines).toEqual(lines);
  });

  it("without lines too", () => {
    expect(readHead("GET / HTTP/1.1").lines).toEqual([]);
  });
});
