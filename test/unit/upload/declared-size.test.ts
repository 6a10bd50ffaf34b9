import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readAnnouncedBody } from "../../../src/http/announced-body.js";
import { createRequestHead } from "../../../src/http/request-head.js";
import { type KnownSize, readDeclaredSizes, requireAgreement } from "../../../src/upload/declared-size.js";
import { ProxyError } from "../../../src/vocabulary/errors.js";

const HINTS = ["x-image-meta-size", "upload-length", "x-upload-content-length", "x-expected-entity-length"];
const CHUNKED = ["Transfer-Encoding", "chunked"];
const INVALID = "Invalid or missing image size in request headers.";

function read(rawHeaders: readonly string[], hints: readonly string[]) {
  const head = createRequestHead(rawHeaders);
  return readDeclaredSizes(head, readAnnouncedBody(head), hints);
}

function learn(...rawHeaders: string[]): KnownSize | { source: "unknown" } {
  const sizes = read(rawHeaders, HINTS);
  requireAgreement(sizes);
  return sizes[0] ?? { source: "unknown" };
}

function refusal(...rawHeaders: string[]): ProxyError {
  try {
    learn(...rawHeaders);
  } catch (error) {
    if (error instanceof ProxyError) return error;
    throw error;
  }
  throw new Error("it was accepted");
}

describe("the declared size comes from", () => {
  it("x-openstack-image-size, whatever its case", () => {
    expect(learn(...CHUNKED, "X-OpenStack-Image-Size", "5")).toEqual({ source: "header", bytes: 5 });
  });

  it.each(HINTS)("%s if x-openstack-image-size is missing", (hint) => {
    expect(learn(...CHUNKED, hint, "5")).toEqual({ source: "hint", bytes: 5, hint });
  });

  it("Content-Length if no other header declares it", () => {
    expect(learn("Content-Length", "5")).toEqual({ source: "content_length", bytes: 5 });
  });

  it("the header first, then a hint, then Content-Length, if they agree", () => {
    expect(learn("Content-Length", "5", "Upload-Length", "5", "x-openstack-image-size", "5").source).toBe(
      "header",
    );
    expect(learn("Content-Length", "5", "Upload-Length", "5").source).toBe("hint");
  });

  it("nowhere if a chunked body has no size header", () => {
    expect(learn(...CHUNKED)).toEqual({ source: "unknown" });
  });

  it("no header that is not in size.hints", () => {
    expect(read([...CHUNKED, "Upload-Length", "5"], [])).toEqual([]);
  });

  it("the missing framing: the body is empty, so its size is 0", () => {
    expect(learn()).toEqual({ source: "content_length", bytes: 0 });
    expect(learn("x-openstack-image-size", "0")).toEqual({ source: "header", bytes: 0 });
  });
});

describe("a declared size", () => {
  it.each([
    ["0", 0],
    ["1", 1],
    ["005", 5],
    ["9007199254740991", Number.MAX_SAFE_INTEGER],
    ["0000000000000007", 7],
  ])("%s is accepted", (value, bytes) => {
    expect(learn(...CHUNKED, "x-openstack-image-size", value)).toEqual({ source: "header", bytes });
  });

  describe.each(["x-openstack-image-size", ...HINTS])("of %s", (name) => {
    it.each([
      "-1",
      "+5",
      "1_000",
      "0x5",
      "5.0",
      "5,5",
      "5, 5",
      "5e3",
      "",
      " ",
      "5 5",
      "\u0665", // an Arabic-Indic five: Python's int() takes it
      "\uff15",
      "\u00b2",
      "abc",
      "NaN",
      "9007199254740992",
      "00000000000000005",
      "99999999999999999999",
      "5\n",
    ])("%j is refused in Glance's words and logged", (value) => {
      const error = refusal(...CHUNKED, name, value);
      expect(error).toMatchObject({ code: "invalid_size", status: 400, message: INVALID });
      expect((error.cause as Error).message).toBe(`${name}: ${JSON.stringify(value)}`);
    });

    it("on two header lines is refused, even if they agree", () => {
      const error = refusal(...CHUNKED, name, "5", name.toUpperCase(), "5");
      expect(error).toMatchObject({ code: "invalid_size", message: INVALID });
      expect((error.cause as Error).message).toBe(`${name}: "5, 5"`);
    });
  });

  it.each(["05", "9007199254740992", "18446744073709551621", "+5", "5, 5"])(
    "of Content-Length: %s is refused",
    (value) => {
      expect(refusal("Content-Length", value)).toMatchObject({ status: 400 });
    },
  );

  it("in a header with underscores is ignored: WSGI would read it as the real one", () => {
    expect(learn(...CHUNKED, "x_openstack_image_size", "5")).toEqual({ source: "unknown" });
  });

  it("is accepted if and only if it is a safe integer of up to 16 digits", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ unit: "binary" }), fc.stringMatching(/^[0-9+_x.-]{1,18}$/)),
        (value) => {
          const valid = /^[0-9]{1,16}$/.test(value) && Number(value) <= Number.MAX_SAFE_INTEGER;
          const attempt = () => learn(...CHUNKED, "x-openstack-image-size", value);
          if (valid) expect(attempt()).toEqual({ source: "header", bytes: Number(value) });
          else expect(attempt).toThrow(INVALID);
        },
      ),
    );
  });
});

describe("declared sizes that disagree", () => {
  it.each([
    [["x-openstack-image-size", "5", "Content-Length", "6"], "x-openstack-image-size: 5, Content-Length: 6"],
    [
      [...CHUNKED, "x-openstack-image-size", "5", "Upload-Length", "6"],
      "x-openstack-image-size: 5, upload-length: 6",
    ],
    [[...CHUNKED, "x-image-meta-size", "5", "Upload-Length", "6"], "x-image-meta-size: 5, upload-length: 6"],
    [["Upload-Length", "5", "Content-Length", "6"], "upload-length: 5, Content-Length: 6"],
  ])("a larger second size gives size_exceeded, and the cause names both: %j", (headers, cause) => {
    expect(refusal(...headers)).toMatchObject({
      code: "size_exceeded",
      status: 400,
      message: "Size exceeds: expected 5 bytes, got 6 bytes",
      cause: new Error(cause),
    });
  });

  it.each([
    [["x-openstack-image-size", "5", "Content-Length", "4"], "x-openstack-image-size: 5, Content-Length: 4"],
    [["x-openstack-image-size", "5"], "x-openstack-image-size: 5, no body"],
    [
      [...CHUNKED, "Upload-Length", "4", "x-openstack-image-size", "5"],
      "x-openstack-image-size: 5, upload-length: 4",
    ],
    [["Content-Length", "4", "Upload-Length", "5"], "upload-length: 5, Content-Length: 4"],
  ])("a smaller second size gives size_mismatch, and the cause names both: %j", (headers, cause) => {
    const got = headers.includes("4") ? 4 : 0;
    expect(refusal(...headers)).toMatchObject({
      code: "size_mismatch",
      status: 400,
      message: `Size mismatch: expected 5 bytes, got ${got} bytes`,
      cause: new Error(cause),
    });
  });

  it("an invalid size is invalid, whatever the others are", () => {
    expect(refusal("x-openstack-image-size", "5", "Upload-Length", "x", "Content-Length", "5").code).toBe(
      "invalid_size",
    );
    expect(refusal("x-openstack-image-size", "x", "Content-Length", "5").code).toBe("invalid_size");
  });
});
