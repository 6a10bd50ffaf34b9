import { describe, expect, it } from "vitest";
import { readAnnouncedBody } from "../../../src/http/announced-body.js";
import { guardContentLength, guardRequest } from "../../../src/http/request-guard.js";
import { createRequestHead } from "../../../src/http/request-head.js";

const check = (method: string, httpVersion: string, ...rawHeaders: string[]) => {
  const head = createRequestHead(rawHeaders);
  guardRequest(method, httpVersion, head, announced(...rawHeaders));
};
const announced = (...rawHeaders: string[]) => readAnnouncedBody(createRequestHead(rawHeaders));
const guard = (method: string, httpVersion: string, ...rawHeaders: string[]) => {
  check(method, httpVersion, "Host", "glance.test", ...rawHeaders);
};

describe("a request with Transfer-Encoding", () => {
  it("is refused if the header is empty", () => {
    expect(() => guard("PUT", "1.1", "Transfer-Encoding", "")).toThrow("Transfer-Encoding: empty.");
  });

  it.each(["chunked", "Chunked", "CHUNKED"])("%s is accepted", (value) => {
    expect(() => guard("PUT", "1.1", "Transfer-Encoding", value)).not.toThrow();
  });

  it.each(["gzip, chunked", "chunked, chunked", "identity", "gzip", "xchunked", "chunked;a"])(
    "%j is not implemented: Glance would make an empty image active",
    (value) => {
      expect(() => guard("PUT", "1.1", "Transfer-Encoding", value)).toThrow(
        expect.objectContaining({ code: "not_implemented", status: 501 }),
      );
    },
  );

  it("is refused with 501 if it has two such lines", () => {
    expect(() => guard("PUT", "1.1", "Transfer-Encoding", "chunked", "transfer-encoding", "chunked")).toThrow(
      expect.objectContaining({ code: "not_implemented" }),
    );
  });

  it("is refused from HTTP/1.0", () => {
    expect(() => guard("PUT", "1.0", "Transfer-Encoding", "chunked")).toThrow(
      expect.objectContaining({ code: "bad_request", status: 400 }),
    );
  });

  it.each(["DELETE", "OPTIONS"])("is refused with %s: http-proxy would smuggle its body", (method) => {
    expect(() => guard(method, "1.1", "Transfer-Encoding", "chunked")).toThrow(
      expect.objectContaining({ code: "bad_request", status: 400 }),
    );
    expect(() => guard(method, "1.1", "Content-Length", "5")).not.toThrow();
  });

  it.each(["GET", "POST", "PATCH", "PUT", "HEAD"])("is accepted with %s", (method) => {
    expect(() => guard(method, "1.1", "Transfer-Encoding", "chunked")).not.toThrow();
  });
});

describe("a request with a Host line", () => {
  it("is accepted if it has one Host", () => {
    expect(() => check("GET", "1.1", "Host", "a")).not.toThrow();
  });

  it("is refused if it has two Hosts, even if both are the same", () => {
    expect(() => check("GET", "1.1", "Host", "a", "host", "a")).toThrow(
      expect.objectContaining({ code: "bad_request", status: 400 }),
    );
  });

  it("is refused without one in HTTP/1.1, but accepted in HTTP/1.0", () => {
    expect(() => check("GET", "1.1")).toThrow(expect.objectContaining({ code: "bad_request", status: 400 }));
    expect(() => check("GET", "1.0")).not.toThrow();
  });
});

describe("a Content-Length", () => {
  it.each(["0", "5", "9007199254740991"])("of %s is accepted", (value) => {
    expect(() => guardContentLength(announced("Content-Length", value))).not.toThrow();
  });

  it.each([
    "05",
    "00",
    "+5",
    "-1",
    "5, 5",
    "0x5",
    "",
    "9007199254740992",
    "18446744073709551621",
    "99999999999999999",
  ])("of %j is refused", (value) => {
    expect(() => guardContentLength(announced("Content-Length", value))).toThrow(
      expect.objectContaining({ code: "bad_request", status: 400 }),
    );
  });
});
