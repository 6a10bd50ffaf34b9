import { describe, expect, it } from "vitest";
import { createImportGuard, type ImportGuard } from "../../../src/import/guard.js";

type WebDownload = { schemes?: ("http" | "https")[]; hosts?: string[]; deny?: string[] };

function guardOf(web: WebDownload, methods: string[] = []): ImportGuard {
  const webDownload = { schemes: [], hosts: [], deny: [], ...web };
  const guard = createImportGuard({ verifyStaged: true, methods, webDownload });
  if (!guard) throw new Error("nothing is restricted");
  return guard;
}

/** @returns the reason of the refusal. */
function judge(uri: unknown, web: WebDownload = { schemes: ["http", "https"] }): string | undefined {
  return guardOf(web).judgeImport({ method: { name: "web-download", uri } })?.reason;
}

it("there is no guard if nothing is restricted", () => {
  const webDownload = { schemes: [], hosts: [], deny: [] };
  expect(createImportGuard({ verifyStaged: true, methods: [], webDownload })).toBeUndefined();
});

/** All of them lead to addresses that are not public. */
const NOT_PUBLIC = [
  ...[
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0X7F.0.0.1",
    "017700000001",
    "0177.0.0.01",
  ],
  ...["0x7f.1", "00000000177.1", "10.0.0.1", "10.1", "167772161", "172.16.0.1", "192.168.0.1", "192.168.257"],
  ...[
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "0251.0376.0251.0376",
    "100.100.100.200",
    "168.63.129.16",
  ],
  ...["0.0.0.0", "0", "00", "224.0.0.1", "255.255.255.255", "4294967295", "192.0.0.192", "198.18.0.1"],
  ...["[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::FFFF:7f00:1]", "[::127.0.0.1]"],
  ...["[0:0:0:0:0:ffff:10.0.0.1]", "[64:ff9b::10.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::808:808]"],
  ...["[2002:7f00:1::]", "[2002:a00:1::1]", "[fe80::1]", "[fec0::1]", "[fc00::1]", "[fd00:ec2::254]"],
  ...["[ff02::1]", "[2001::1]", "[4000::1]", "[::ffff:0:127.0.0.1]"],
  ...["localhost", "LOCALHOST", "localhost.", "a.localhost", "glance", "x.local", "metadata.google.internal"],
  ...["keystone.openstack.svc", "localhost.localdomain"],
];

it.each(NOT_PUBLIC)("refuses %s if nothing names it", (host) => {
  expect(judge(`http://${host}/image`)).toBe("address");
  expect(judge(`https://${host}:8080?a`)).toBe("address");
});

/** What readers of URIs disagree about. */
const UNREADABLE = [
  ...[
    "http://u@example.org/",
    "http://u:p@example.org/",
    "http://example.org@10.0.0.1/",
    "http://@example.org/",
  ],
  ...[
    "http://example.org\\@10.0.0.1/",
    "http://example.org\\.a.net/",
    "http://%65xample.org/",
    "http://1%30.0.0.1/",
  ],
  ...[
    "http://exa\tmple.org/",
    "http://example.org\n/",
    " http://example.org/",
    "http://example.org/ ",
    "http://a b/",
  ],
  ...[
    "<http://example.org/>",
    "<URL:http://example.org/>",
    "http:example.org/",
    "http:/example.org/",
    "http:///x",
  ],
  ...[
    "http:////example.org/",
    "http://",
    "",
    "example.org",
    "//example.org/",
    "http://example.org#@10.0.0.1/",
  ],
  ...[
    "http://\uFF11\uFF127.0.0.1/",
    "http://127\u30020\u30020\u30021/",
    "http://\u00B927.0.0.1/",
    "http://fa\u00DF.de/",
  ],
  ...[
    "http://example.org:80:80/",
    "http://example.org:+80/",
    "http://example.org:0x50/",
    "http://example.org:65536/",
  ],
  ...["http://example..org/", "http://.example.org/", "http://example.org../", "http://[fe80::1%25eth0]/"],
  ...[
    "http://[fe80::1%eth0]/",
    "http://[127.0.0.1]/",
    "http://[::1/",
    "http://::1/",
    "http://[::1]x/",
    "http://a[::1]/",
  ],
  ...[
    "http://127.0.0.1./",
    "http://8.8.8.8./",
    "http://08.1.1.1/",
    "http://1.2.3.0x/",
    "http://1.2.3.4.5/",
    "http://0x/",
  ],
  ...[
    "http://256.1.1.1/",
    "http://4294967296/",
    "http://example.0x7f/",
    "http://example.1/",
    "http://ex\u0000ample.org/",
  ],
];

it.each(UNREADABLE)("does not read %j", (uri) => {
  expect(judge(uri)).toBe("uri");
});

it.each([undefined, null, 5, ["http://example.org/"], { uri: "http://example.org/" }])(
  "refuses the URI %j, which is no text",
  (uri) => expect(judge(uri)).toBe("uri"),
);

it.each([
  "ftp://example.org/",
  "file:///etc/passwd",
  "data:,x",
  "gopher://example.org/",
  "jar:http://a.org!/",
])("refuses %s because of its scheme", (uri) => expect(judge(uri)).toBe("scheme"));

it.each([
  "http://example.org",
  "HTTPS://EXAMPLE.ORG.:443/a?b#c",
  "http://8.8.8.8/",
  "http://[2606:4700::1]:80/",
])("allows %s, which is public", (uri) => expect(judge(uri)).toBeUndefined());

it("refuses http if only https is allowed", () => {
  expect(judge("http://example.org/", { schemes: ["https"] })).toBe("scheme");
  expect(judge("https://example.org/", { schemes: ["https"] })).toBeUndefined();
});

describe("with hosts", () => {
  const web = {
    hosts: ["images.example.org", "*.cdn.example.org", "10.1.2.3", "192.168.0.0/16", "0.0.0.0/0", "::/0"],
  };

  it.each([
    "images.example.org",
    "IMAGES.example.org.",
    "a.cdn.example.org",
    "a.b.cdn.example.org",
    "8.8.8.8",
  ])("allows %s", (host) => expect(judge(`http://${host}/`, web)).toBeUndefined());

  it.each(["cdn.example.org", "example.org", "images.example.org.evil.net", "evilcdn.example.org"])(
    "refuses %s",
    (host) => expect(judge(`http://${host}/`, web)).toBe("host"),
  );

  it.each(["10.1.2.3", "0x0a010203", "167838211", "10.1.515", "[::ffff:10.1.2.3]", "192.168.9.9"])(
    "allows %s, which is private but named",
    (host) => expect(judge(`http://${host}/`, web)).toBeUndefined(),
  );

  it.each(["10.1.2.4", "127.0.0.1", "[::1]", "[64:ff9b::10.1.2.3]", "[2002:a01:203::]", "169.254.169.254"])(
    "refuses %s, which no entry names, although a network contains it",
    (host) => expect(judge(`http://${host}/`, web)).toBe("address"),
  );

  it("allows a private name that is named", () => {
    expect(judge("http://store/", { hosts: ["store"] })).toBeUndefined();
    expect(judge("http://a.svc/", { hosts: ["*.svc"] })).toBeUndefined();
    expect(judge("http://localhost/", { hosts: ["store"] })).toBe("address");
  });
});

describe("with deny", () => {
  const web = {
    hosts: ["*.example.org", "8.8.8.8"],
    deny: ["secret.example.org", "8.8.0.0/16", "*.x.example.org"],
  };

  it.each([
    "secret.example.org",
    "SECRET.example.org.",
    "8.8.8.8",
    "0x08080808",
    "[64:ff9b::8.8.8.8]",
    "a.x.example.org",
  ])("refuses %s, whatever hosts says", (host) => expect(judge(`http://${host}/`, web)).toBe("denied"));

  it("allows everything public that it does not name", () => {
    expect(judge("http://example.org/", { deny: ["example.net"] })).toBeUndefined();
    expect(judge("http://10.0.0.1/", { deny: ["example.net"] })).toBe("address");
  });
});

describe("import.methods", () => {
  const guard = guardOf({}, ["glance-direct", "copy-image"]);

  it.each([
    [{ method: { name: "glance-direct" } }, undefined],
    [{ method: { name: "copy-image" } }, undefined],
    [{ method: { name: "glance-download" } }, "method"],
    [{ method: { name: "web-download", uri: "http://example.org/" } }, "method"],
    [{ method: { name: ["glance-direct"] } }, "method"],
    [{ method: {} }, "method"],
    [{ method: null }, "method"],
    [[], "method"],
    [null, "method"],
    ["glance-direct", "method"],
  ])("judges %j by the method: %s", (body, reason) => {
    expect(guard.judgeImport(body)?.reason).toBe(reason);
  });

  it("looks at no URI if only the methods are restricted", () => {
    const body = { method: { name: "web-download", uri: "http://127.0.0.1/" } };
    expect(guardOf({}, ["web-download"]).judgeImport(body)).toBeUndefined();
  });

  it("looks at no URI of another method", () => {
    const body = { method: { name: "glance-download", uri: "http://127.0.0.1/" } };
    expect(guardOf({ hosts: ["example.org"] }).judgeImport(body)).toBeUndefined();
  });
});

describe("a task", () => {
  const guard = guardOf({ hosts: ["example.org"] });
  const ofImport = (uri: unknown) => ({ type: "import", input: { import_from: uri } });
  const ofImage = (uri: unknown) => ({
    type: "api_image_import",
    input: { image_id: "a", import_req: { method: { name: "web-download", uri } } },
  });

  it.each([
    [ofImport("http://example.org/a"), undefined],
    [ofImport("http://127.1/a"), "address"],
    [ofImport("file:///etc/passwd"), "scheme"],
    [ofImport(undefined), "uri"],
    [{ type: "import" }, "uri"],
    [ofImage("http://example.org/a"), undefined],
    [ofImage("http://127.1/a"), "address"],
    [{ type: "location_import", input: { loc_url: "http://127.0.0.1/" } }, "method"],
    [{}, "method"],
  ])("%j is judged like an import: %s", (body, reason) => {
    expect(guard.judgeTask(body)?.reason).toBe(reason);
  });

  it("of type import is a web-download for import.methods", () => {
    const other = guardOf({}, ["glance-direct"]);
    expect(other.judgeTask(ofImport("http://example.org/a"))?.reason).toBe("method");
    expect(other.judgeTask(ofImage("http://example.org/a"))?.reason).toBe("method");
  });
});

it.each([
  ["http://user:secret@10.0.0.1/a?token=secret#x", "http"],
  ["http://user:sec?secret@10.0.0.1/", "http"],
  ["http://10.0.0.1/a?token=secret", "http://10.0.0.1/a"],
  ["http://10.0.0.1#secret", "http://10.0.0.1"],
  ["file:///etc/passwd", "file:///etc/passwd"],
])("what is logged of %j has no secrets: %s", (uri, shown) => {
  const refusal = guardOf({ deny: ["8.8.8.8"] }).judgeImport({ method: { name: "web-download", uri } });
  expect(refusal?.uri).toBe(shown);
  expect(refusal?.explanation).not.toContain("secret");
});
