import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readAnnouncedBody } from "../../../src/http/announced-body.js";
import { createRequestHead } from "../../../src/http/request-head.js";
import { readDigests } from "../../../src/upload/digests.js";
import { ProxyError } from "../../../src/vocabulary/errors.js";

const BODY = Buffer.from("hello world");
const digest = (algorithm: string, bytes: Buffer = BODY): string =>
  createHash(algorithm).update(bytes).digest("base64");
const SHA256 = digest("sha256");
const SHA512 = digest("sha512");
const MD5 = digest("md5");
const OTHER = digest("sha256", Buffer.from("other"));
const CHUNKED = ["Transfer-Encoding", "chunked"];

/** @returns `nothing to check`, `right`, or the code and the explanation of the refusal. */
function check(
  lines: readonly string[],
  trailers: readonly string[] = [],
  pieces: readonly Buffer[] = [BODY],
): string {
  const head = createRequestHead(lines);
  try {
    const digests = readDigests(head, readAnnouncedBody(head));
    if (!digests) return "nothing to check";
    for (const piece of pieces) digests.update(piece);
    const refusal = digests.refuse(trailers);
    expect(digests.refuse([])).toBe(refusal); // asked again, it says the same
    return refusal ? `${refusal.code}: ${refusal.message}` : "right";
  } catch (error) {
    if (error instanceof ProxyError) return `${error.code}, before the body: ${error.message}`;
    throw error;
  }
}

it.each<[string, string[]]>([
  ["Content-Digest: sha-256", ["Content-Digest", `sha-256=:${SHA256}:`]],
  ["Content-Digest: sha-512", ["content-digest", `sha-512=:${SHA512}:`]],
  ["Repr-Digest", ["Repr-Digest", `sha-256=:${SHA256}:`]],
  ["Content-MD5", ["Content-MD5", MD5]],
  [
    "all of them",
    [
      "Content-Digest",
      `sha-256=:${SHA256}:, sha-512=:${SHA512}:`,
      "Repr-Digest",
      `sha-256=:${SHA256}:`,
      "Content-MD5",
      MD5,
    ],
  ],
  ["two lines", ["Content-Digest", `sha-256=:${SHA256}:`, "Content-Digest", `sha-512=:${SHA512}:`]],
  ["an unknown algorithm beside it", ["Content-Digest", `unixsum=:AAA=:, foo, bar="x", sha-256=:${SHA256}:`]],
  ["parameters, which mean nothing", ["Content-Digest", `sha-256=:${SHA256}:;a=1`]],
  ["base64 without padding", ["Content-Digest", `sha-256=:${SHA256.replace("=", "")}:`]],
])("a right digest is right: %s", (_, lines) => {
  expect(check(lines)).toBe("right");
  expect(check(lines, [], [BODY.subarray(0, 1), Buffer.alloc(0), BODY.subarray(1)])).toBe("right");
  expect(check(lines, [], [BODY, BODY])).toMatch(/^digest_mismatch: Digest mismatch: /);
});

it("a wrong digest is named with its field, its algorithm and both values", () => {
  expect(check(["Content-Digest", `sha-256=:${OTHER}:`])).toBe(
    `digest_mismatch: Digest mismatch: Content-Digest: sha-256: expected ${OTHER}, got ${SHA256}`,
  );
  expect(check(["Content-MD5", digest("md5", Buffer.alloc(1))])).toMatch(
    /^digest_mismatch: Digest mismatch: Content-MD5: md5: expected \S+, got \S+$/,
  );
});

it("the explanation fits into a field of the log, for the longest digest too", () => {
  const text = check(["Content-Digest", `sha-512=:${digest("sha512", Buffer.alloc(1))}:`]);
  expect(text.slice("digest_mismatch: ".length).length).toBeLessThanOrEqual(256);
});

it.each<[string, string[]]>([
  [
    "a right and a wrong one of two algorithms",
    ["Content-Digest", `sha-256=:${OTHER}:, sha-512=:${SHA512}:`],
  ],
  [
    "a right and a wrong one in two fields",
    ["Content-Digest", `sha-256=:${SHA256}:`, "Repr-Digest", `sha-256=:${OTHER}:`],
  ],
  [
    "a right digest and a wrong MD5",
    ["Content-Digest", `sha-256=:${SHA256}:`, "Content-MD5", digest("md5", Buffer.alloc(1))],
  ],
  [
    "the last of two for one algorithm, which counts",
    ["Content-Digest", `sha-256=:${SHA256}:, sha-256=:${OTHER}:`],
  ],
])("every digest must be right: %s", (_, lines) => {
  expect(check(lines)).toMatch(/^digest_mismatch: /);
});

it.each<[string, string[]]>([
  ["no digest", ["Content-Length", "11"]],
  ["unknown algorithms only", ["Content-Digest", "sha=:AAAA:, md5=:AAAA:, unixcksum=1"]],
  ["an empty dictionary", ["Content-Digest", ""]],
  ["the old field", ["Digest", `sha-256=${OTHER}`]],
  [
    "an announced trailer behind a body that cannot have one",
    ["Content-Length", "11", "Trailer", "Content-Digest"],
  ],
  ["another trailer", [...CHUNKED, "Trailer", "Expires"]],
])("there is nothing to check: %s", (_, lines) => {
  expect(check(lines)).toBe("nothing to check");
});

it.each<[string, string[]]>([
  ["no colons", ["Content-Digest", `sha-256=${SHA256}`]],
  ["text", ["Content-Digest", 'sha-256="a"']],
  ["no value", ["Content-Digest", "sha-256"]],
  ["a list", ["Content-Digest", `sha-256=(:${SHA256}:)`]],
  ["too short", ["Content-Digest", `sha-256=:${MD5}:`]],
  ["another algorithm's", ["Repr-Digest", `sha-512=:${SHA256}:`]],
  ["not base64", ["Content-Digest", `sha-256=:${SHA256.replace(/./, "-")}:`]],
  ["no end", ["Content-Digest", `sha-256=:${SHA256}`]],
  ["a comma at the end", ["Content-Digest", `sha-256=:${SHA256}:,`]],
  ["capitals", ["Content-Digest", `SHA-256=:${SHA256}:`]],
  ["a broken one beside a right one", ["Content-Digest", `sha-256=:${SHA256}:, ?`]],
  ["an MD5 in colons", ["Content-MD5", `:${MD5}:`]],
  ["an MD5 in hex", ["Content-MD5", createHash("md5").update(BODY).digest("hex")]],
  ["an MD5 without padding", ["Content-MD5", MD5.replace("==", "")]],
  ["two MD5s", ["Content-MD5", MD5, "Content-MD5", MD5]],
  ["an empty MD5", ["Content-MD5", ""]],
])("a malformed digest in the head is refused before the body: %s", (_, lines) => {
  expect(check(lines)).toMatch(
    /^invalid_digest, before the body: Malformed digest: (Content|Repr)-(Digest|MD5): /,
  );
});

describe("a trailer", () => {
  const ANNOUNCED = [...CHUNKED, "Trailer", "Expires, content-digest", "Trailer", "Content-MD5"];

  it.each<[string, string[], string[], RegExp]>([
    ["right", ANNOUNCED, ["Content-Digest", `sha-256=:${SHA256}:`], /^right$/],
    ["right, of the other algorithm", ANNOUNCED, ["CONTENT-DIGEST", `sha-512=:${SHA512}:`], /^right$/],
    ["right, MD5", ANNOUNCED, ["Content-MD5", MD5], /^right$/],
    ["wrong", ANNOUNCED, ["Content-Digest", `sha-256=:${OTHER}:`], /^digest_mismatch: /],
    ["malformed", ANNOUNCED, ["Content-Digest", "sha-256=1"], /^invalid_digest: /],
    ["an MD5 given twice", ANNOUNCED, ["Content-MD5", MD5, "content-md5", MD5], /^invalid_digest: /],
    ["missing", ANNOUNCED, [], /^right$/],
    ["of an unknown algorithm", ANNOUNCED, ["Content-Digest", "sha=:AAAA:"], /^right$/],
    [
      "another than the head",
      [...ANNOUNCED, "Content-Digest", `sha-256=:${SHA256}:`],
      ["Content-Digest", `sha-256=:${OTHER}:`],
      /^digest_mismatch: /,
    ],
    [
      "right, behind a wrong head",
      [...ANNOUNCED, "Content-Digest", `sha-256=:${OTHER}:`],
      ["Content-Digest", `sha-256=:${SHA256}:`],
      /^digest_mismatch: /,
    ],
    ["not announced", [...ANNOUNCED], ["Repr-Digest", `sha-256=:${OTHER}:`], /^right$/],
  ])("%s", (_, lines, trailers, expected) => {
    expect(check(lines, trailers)).toMatch(expected);
  });
});

it("a huge dictionary is read to its end", () => {
  const members = Array.from({ length: 3_000 }, (_, index) => `k${index}=:AAAAAAAA:`).join(", ");
  expect(check(["Content-Digest", `${members}, sha-256=:${OTHER}:`])).toMatch(/^digest_mismatch: /);
  expect(check(["Content-Digest", `${members}, sha-256=:${SHA256}:`])).toBe("right");
});

it("anything in a field is accepted or refused, and never an error of the proxy", () => {
  const piece = fc.constantFrom(
    "sha-256",
    "sha-512",
    "=",
    ":",
    SHA256,
    OTHER,
    ",",
    " ",
    ";",
    '"',
    "(",
    "?1",
    "*",
    "@1",
    "%",
    "\t",
  );
  const value = fc.oneof(
    fc.array(piece, { maxLength: 12 }).map((parts) => parts.join("")),
    fc.string({ unit: "binary-ascii" }),
  );
  fc.assert(
    fc.property(fc.constantFrom("content-digest", "repr-digest", "content-md5"), value, (name, text) => {
      expect(check([name, text])).toMatch(/^(nothing to check$|right$|digest_mismatch: |invalid_digest, )/);
      expect(check([...CHUNKED, "Trailer", name], [name, text])).toMatch(
        /^(right$|digest_mismatch: |invalid_digest: )/,
      );
    }),
  );
});

it("an algorithm that this Node does not have is not checked", () => {
  const head = createRequestHead([
    "Content-MD5",
    digest("md5", Buffer.alloc(1)),
    "Content-Digest",
    `sha-256=:${SHA256}:`,
  ]);
  const withoutMd5 = ((name: string) => {
    if (name === "md5") throw new Error("unsupported");
    return createHash(name);
  }) as typeof createHash;
  const digests = readDigests(head, readAnnouncedBody(head), withoutMd5);
  digests?.update(BODY);
  expect(digests?.refuse([])).toBeUndefined();
});
