import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readTarget } from "../../../src/glance/request-target.js";

const ID = "71c675ab-d94f-49cd-a114-e12490b328d9";

/** What Glance was seen to take for an upload, and what is to be sent upstream for it. */
const UPLOADS: readonly (readonly [target: string, path: string])[] = [
  [`/v2/images/${ID}/file`, `/v2/images/${ID}/file`],
  [`/v2/images/${ID}/stage`, `/v2/images/${ID}/stage`],
  ...Array.from({ length: 17 }, (_, minor): [string, string] => [
    `/v2.${minor}/images/${ID}/file`,
    `/v2.${minor}/images/${ID}/file`,
  ]),
  [`//v2/images/${ID}/file`, `/v2/images/${ID}/file`],
  [`////v2///images//${ID}////file`, `/v2/images/${ID}/file`],
  [`/v2//images/${ID}/file`, `/v2/images/${ID}/file`],
  [`/v2/images/${ID}//file`, `/v2/images/${ID}/file`],
  [`/v2/images/${ID}/%66ile`, `/v2/images/${ID}/file`],
  [`/v2/images/${ID}/%66%69%6C%65`, `/v2/images/${ID}/file`],
  [`/v2/images/${ID}/%73tage`, `/v2/images/${ID}/stage`],
  [`/v2/%69mages/${ID}/file`, `/v2/images/${ID}/file`],
  [`/%762/images/${ID}/file`, `/v2/images/${ID}/file`],
  [`/v2%2e5/images/${ID}/file`, `/v2.5/images/${ID}/file`],
  [
    `/%76%32/%69%6d%61%67%65%73/%37%31c675ab-d94f-49cd-a114-e12490b328d9/%66%69%6c%65`,
    `/v2/images/${ID}/file`,
  ],
  [`/v2/images/a%20b/file`, `/v2/images/a%20b/file`],
  [`/v2/images/a%3Fb%23/file`, `/v2/images/a%3Fb%23/file`],
  [`/v2/images/%2566/file`, `/v2/images/%2566/file`],
  [`/v2/images/%C3%A9/file`, `/v2/images/%C3%A9/file`],
  [`/images/${ID}/file`, `/images/${ID}/file`], // with `Accept: application/vnd.openstack.images-v2.x`
  [`//images/${ID}/stage`, `/images/${ID}/stage`],
  [`/v2/images/${ID}/file?`, `/v2/images/${ID}/file?`],
  [`/v2/images/${ID}/file?a=%2F..%00&b=//#`.replace("#", ""), `/v2/images/${ID}/file?a=%2F..%00&b=//`],
  [`/v2/images/${ID}/file?x?y=/file`, `/v2/images/${ID}/file?x?y=/file`],
];

/** What two servers could read in two ways. */
const REFUSED = [
  `v2/images/${ID}/file`,
  "*",
  `http://glance/v2/images/${ID}/file`,
  `HTTP://glance/v2/images/${ID}/file`,
  "glance:9292",
  "",
  `/v2%2Fimages/${ID}/file`,
  `/v2/images/${ID}%2ffile`,
  `/v2/images/${ID}%5cfile`,
  `/v2/images/${ID}%5Cfile`,
  `/v2\\images/${ID}/file`,
  `/v2/images/${ID}/file\\`,
  `/v2/images/${ID}/file%0a`,
  `/v2/images/${ID}/file%0D`,
  `/v2/images/${ID}/file%00`,
  `/v2/images/${ID}%7f/file`,
  `/v2/images/${ID}/file%`,
  `/v2/images/${ID}/file%6`,
  `/v2/images/${ID}/file%zz`,
  `/v2/images/%ff/file`, // not UTF-8: two servers could read it in two ways
  `/v2/images/${ID}/file#x`,
  `/v2/images/${ID}/file?a#x`,
  `/v2/./images/${ID}/file`,
  `/v2/../v2/images/${ID}/file`,
  `/v2/images/${ID}/x/../file`,
  `/v2/images/${ID}/%2e/file`,
  `/v2/images/%2E%2e/file`,
  `/v2/images/.%2e/file`,
  `/..`,
  `/v2/images/${ID}/file/.`,
  `/v2/images/${ID}/file?_method=PUT`,
  `/v2/images/${ID}/file?a=b&_method=put`,
  `/v2/images/${ID}/file?a=b;_method=put`,
  `/v2/images/${ID}/file?%5fmethod=PUT`,
  `/v2/images/${ID}/file?%5F%6d%65thod=PUT`,
  `/v2/images/${ID}/file?_method`,
  `/v2/images/${ID}/file?+_method=PUT`,
  `/v2/images?_method=PUT`,
  `/?_method=PUT`,
  `/v2/images/${ID}/file?\u00e9`,
  `/v2/images/\u00e9/file`,
  `/v2/images/${ID} /file`,
];

/** What Glance was seen to reject, or not to take for an upload: it goes there as it is. */
const OTHER = [
  `/v2/images/${ID}/file/`,
  `/v2/images/${ID}/file.json`,
  `/v2/images/${ID}/file;x`,
  `/v2/images/${ID}/FILE`,
  `/v2/images/${ID}/File`,
  `/V2/images/${ID}/file`,
  `/v2/Images/${ID}/file`,
  `/v2/images/${ID}/%2566ile`,
  `/v2/images/${ID}/file%20`,
  `/v1/images/${ID}/file`,
  `/v2./images/${ID}/file`,
  `/v2.a/images/${ID}/file`,
  `/v3/images/${ID}/file`,
  `/v2/images/file`,
  `/v2/images/${ID}`,
  `/v2/images/${ID}/members`,
  `/v2/x/images/${ID}/file`,
  `/v2/images/a/b/file`,
  `/`,
  `/v2/images?name=a//b&marker=http://c//d&x=%2F&_methods=PUT&method=_method`,
];

describe("PUT", () => {
  it.each(UPLOADS)("%s is an upload, sent on as %s", (target, path) => {
    expect(readTarget("PUT", target, "")).toMatchObject({ kind: "upload", path });
  });

  it("tells file from stage, and the image from its id decoded once", () => {
    expect(readTarget("PUT", "/v2/images/a%20b%2541/%73tage", "")).toMatchObject({
      operation: "stage",
      imageId: "a b%41",
    });
    expect(readTarget("PUT", `/v2/images/${ID}/file`, "")).toMatchObject({ operation: "file", imageId: ID });
  });

  it.each(OTHER)("%s is passed on untouched", (target) => {
    expect(readTarget("PUT", target, "")).toEqual({ kind: "other", path: target });
  });

  it.each(REFUSED)("%j is refused", (target) => {
    expect(readTarget("PUT", target, "")).toMatchObject({ kind: "refused" });
  });
});

describe.each(["GET", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS"])("%s", (method) => {
  it.each(UPLOADS)("%s is no upload", (target) => {
    expect(readTarget(method, target, "").kind).not.toBe("upload");
  });

  it.each(REFUSED)("%j is refused all the same", (target) => {
    expect(readTarget(method, target, "")).toMatchObject({ kind: "refused" });
  });
});

describe("a download", () => {
  it.each([`/v2/images/${ID}/file`, `//v2.6/images/${ID}/%66ile?x=1`, `/images/${ID}/file`])(
    "is GET %s, passed on as it came",
    (target) => {
      expect(readTarget("GET", target, "")).toEqual({ kind: "download", path: target.replace("//", "/") });
    },
  );

  it("is not a GET of what is staged", () => {
    expect(readTarget("GET", `/v2/images/${ID}/stage`, "").kind).toBe("other");
  });
});

describe("an import", () => {
  it.each([`/v2/images/${ID}/import`, `//v2.6/images/${ID}/%69mport?x=1`, `/images/${ID}/import`])(
    "is POST %s",
    (target) => {
      expect(readTarget("POST", target, "")).toMatchObject({ kind: "import", imageId: ID });
      expect(readTarget("PUT", target, "").kind).toBe("other");
    },
  );
});

describe("below a path prefix", () => {
  it.each([
    [`/image/v2/images/${ID}/file`, `/v2/images/${ID}/file`],
    [`//image//v2/images/${ID}/file`, `/v2/images/${ID}/file`],
    [`/image/images/${ID}/file`, `/images/${ID}/file`],
  ])("%s is an upload, sent on without the prefix", (target, path) => {
    expect(readTarget("PUT", target, "/image")).toMatchObject({ kind: "upload", path });
  });

  it.each([
    ["/image", "/"],
    ["/image?a=b", "/?a=b"],
    ["/image/", "/"],
    ["/image/versions", "/versions"],
    ["/image/image/v2", "/image/v2"],
  ])("%s becomes %s", (target, path) => {
    expect(readTarget("GET", target, "/image")).toEqual({ kind: "other", path });
  });

  it.each([
    `/v2/images/${ID}/file`,
    "/",
    "/images",
    `/imagev2/images/${ID}/file`,
    "/IMAGE/v2",
    "/%69mage/v2",
  ])("%s is not served", (target) => {
    expect(readTarget("PUT", target, "/image")).toEqual({ kind: "outside" });
  });

  it("refuses dot segments that would lead out of it", () => {
    expect(readTarget("GET", "/image/../v2/images", "/image").kind).toBe("refused");
  });
});

describe("in every spelling", () => {
  /** One of the many ways to write each character of a path. */
  const spelled = (text: string): fc.Arbitrary<string> =>
    fc.array(fc.nat(3), { minLength: text.length, maxLength: text.length }).map((ways) =>
      [...text]
        .map((character, index) => {
          const way = ways[index] ?? 0;
          if (character === "/") return "/".repeat(way + 1);
          const hex = character.charCodeAt(0).toString(16);
          return [character, character, `%${hex}`, `%${hex.toUpperCase()}`][way];
        })
        .join(""),
    );

  it("an upload is recognized and gets the same canonical path", () => {
    fc.assert(
      fc.property(spelled(`/v2.3/images/${ID}/file`), (target) => {
        expect(readTarget("PUT", target, "")).toMatchObject({
          kind: "upload",
          path: `/v2.3/images/${ID}/file`,
        });
      }),
    );
  });

  it("a path that decodes to an upload is never passed on as another request", () => {
    const piece = fc.constantFrom(..."/%2fF6iIlLeEvVmMaAgGsS.;?_=\\0125x");
    const target = fc
      .tuple(
        fc.array(piece, { maxLength: 4 }),
        fc.constantFrom("/v2/images/x/file", "/v2/images/x/%66ile", "/images/x/stage"),
        fc.array(piece, { maxLength: 4 }),
      )
      .map(([before, middle, after]) => `/${before.join("")}${middle}${after.join("")}`);
    fc.assert(
      fc.property(target, (text) => {
        const read = readTarget("PUT", text, "");
        if (read.kind !== "other") return;
        const [path = ""] = read.path.split("?");
        const decoded = decodeURIComponent(path).replace(/\/+/g, "/");
        expect(decoded).not.toMatch(/^(\/v2(\.\d+)?)?\/images\/[^/]+\/(file|stage)$/);
      }),
      { numRuns: 2_000 },
    );
  });
});
