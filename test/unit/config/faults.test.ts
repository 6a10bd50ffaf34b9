import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseConfig } from "../../../src/config/load.js";
import type { ConfigInput } from "../../../src/config/schema.js";
import { faultsOf, FILE, load, type Sources } from "./sources.js";

const UPSTREAM = { flags: { upstream: "http://glance" } };

/** Bad input and the whole line it must give. */
const cases: [string, Sources, string][] = [
  [
    "no upstream",
    {},
    "upstream.url: missing: set --upstream URL, GLANCE_SIZE_PROXY_UPSTREAM or upstream.url in the configuration file",
  ],
  [
    "an empty upstream",
    { env: { GLANCE_SIZE_PROXY_UPSTREAM: "" } },
    'upstream.url: "" (GLANCE_SIZE_PROXY_UPSTREAM): must be the URL of Glance, such as http://127.0.0.1:19292, ' +
      "without user, query or fragment",
  ],
  [
    "an upstream that is no URL",
    { flags: { upstream: "glance:9292" } },
    'upstream.url: "glance:9292" (--upstream): must be the URL of Glance, such as http://127.0.0.1:19292, ' +
      "without user, query or fragment",
  ],
  [
    "authorities of clients without a certificate to show them",
    { ...UPSTREAM, env: { GLANCE_SIZE_PROXY_LISTEN__TLS__CLIENT_CA_FILE: "/ca.pem" } },
    "listen.tls.certFile: missing: clientCaFile requires certFile and keyFile; set both, or remove clientCaFile",
  ],
  [
    "an address without a port",
    { flags: { ...UPSTREAM.flags, listen: "localhost" } },
    'listen.address: "localhost" (--listen): must be HOST:PORT, such as 0.0.0.0:9292 or [::1]:9292',
  ],
  [
    "an impossible port",
    { flags: { ...UPSTREAM.flags, adminListen: "h:70000" } },
    'admin.address: "h:70000" (--admin-listen): must be HOST:PORT, such as 0.0.0.0:9292 or [::1]:9292',
  ],
  [
    "a word that is not among those taken",
    { ...UPSTREAM, env: { GLANCE_SIZE_PROXY_LOG__LEVEL: "loud" } },
    'log.level: "loud" (GLANCE_SIZE_PROXY_LOG__LEVEL): must be debug, info, warn, error or silent',
  ],
  [
    "a variable that is no boolean",
    { ...UPSTREAM, env: { GLANCE_SIZE_PROXY_SIZE__REFRAME: "yes" } },
    'size.reframe: "yes" (GLANCE_SIZE_PROXY_SIZE__REFRAME): must be true or false',
  ],
  [
    "a variable that is no number",
    { ...UPSTREAM, env: { GLANCE_SIZE_PROXY_LIMITS__MAX_CONCURRENT_UPLOADS: "many" } },
    'limits.maxConcurrentUploads: "many" (GLANCE_SIZE_PROXY_LIMITS__MAX_CONCURRENT_UPLOADS): ' +
      "must be an integer of at least 0",
  ],
  [
    "a negative number",
    { ...UPSTREAM, env: { GLANCE_SIZE_PROXY_LIMITS__MAX_CONCURRENT_UPLOADS: "-1" } },
    "limits.maxConcurrentUploads: -1 (GLANCE_SIZE_PROXY_LIMITS__MAX_CONCURRENT_UPLOADS): must be an integer of at least 0",
  ],
  [
    "a number that is not whole",
    { ...UPSTREAM, file: "limits: { maxConcurrentUploads: 1.5 }" },
    `limits.maxConcurrentUploads: 1.5 (${FILE}): must be an integer of at least 0`,
  ],
  [
    "a size in a unit that does not exist",
    { ...UPSTREAM, file: "limits: { maxImageSize: 10GB }" },
    `limits.maxImageSize: "10GB" (${FILE}): must be a number of bytes, or a size with a unit, such as 64MiB or 10GiB`,
  ],
  [
    "a size below what works",
    { ...UPSTREAM, file: "limits: { maxHeaderSize: 1023 }" },
    `limits.maxHeaderSize: 1023 (${FILE}): must be a size of at least 1KiB, such as 64KiB`,
  ],
  [
    "what is no size at all, once",
    { ...UPSTREAM, file: "limits: { maxHeaderSize: big }" },
    `limits.maxHeaderSize: "big" (${FILE}): must be a size of at least 1KiB, such as 64KiB`,
  ],
  [
    "a time without a unit",
    { ...UPSTREAM, file: "rollback: { timeout: 10 }" },
    `rollback.timeout: 10 (${FILE}): must be 0, or a time with a unit, such as 500ms, 30s or 6h, up to 24d`,
  ],
  [
    "an interval of 0, which would repeat without a pause",
    { ...UPSTREAM, env: { GLANCE_SIZE_PROXY_ROLLBACK__INTERVAL: "0" } },
    'rollback.interval: "0" (GLANCE_SIZE_PROXY_ROLLBACK__INTERVAL): must be a time above 0 with a unit, such as 100ms',
  ],
  [
    "a number that is not finite",
    { ...UPSTREAM, file: "rollback: { timeout: .inf }" },
    `rollback.timeout: "Infinity" (${FILE}): must be 0, or a time with a unit, such as 500ms, 30s or 6h, up to 24d`,
  ],
  [
    "text in place of a list",
    { ...UPSTREAM, file: "size: { hints: x-size }" },
    `size.hints: "x-size" (${FILE}): must be a list of header names`,
  ],
  [
    "a wrong item in a list",
    { ...UPSTREAM, env: { GLANCE_SIZE_PROXY_SIZE__HINTS: "x-size, x size" } },
    'size.hints: "x size" (GLANCE_SIZE_PROXY_SIZE__HINTS): must be a list of header names',
  ],
  [
    "an invalid network",
    { ...UPSTREAM, env: { GLANCE_SIZE_PROXY_FORWARDED__TRUST: "10.0.0.0/8,10.0.0.0/80" } },
    'forwarded.trust: "10.0.0.0/80" (GLANCE_SIZE_PROXY_FORWARDED__TRUST): ' +
      "must be a list of addresses or networks, such as 192.0.2.7 or 10.0.0.0/8",
  ],
  [
    "an origin with a path",
    { ...UPSTREAM, file: "cors: { allowedOrigins: [https://h/] }" },
    `cors.allowedOrigins: "https://h/" (${FILE}): ` +
      "must be a list of origins such as https://horizon.example, without a path or a trailing slash",
  ],
  [
    "a key without a value",
    { ...UPSTREAM, file: "listen:\n  pathPrefix:\n" },
    `listen.pathPrefix: null (${FILE}): must be a path without a trailing slash, such as /image, or empty`,
  ],
  [
    "a mapping in place of a value",
    { ...UPSTREAM, file: "log: { level: { a: 1 } }" },
    `log.level: {"a":1} (${FILE}): must be debug, info, warn, error or silent`,
  ],
  [
    "a section that is no mapping",
    { ...UPSTREAM, file: "log: info" },
    `log: "info" (${FILE}): must be a mapping with keys out of: level`,
  ],
  [
    "a section that is no mapping, beside a variable for it",
    { ...UPSTREAM, file: "log: [1]", env: { GLANCE_SIZE_PROXY_LOG__LEVEL: "warn" } },
    `log: [1] (${FILE}): must be a mapping with keys out of: level`,
  ],
  [
    "an unknown key that looks like a known one",
    { ...UPSTREAM, file: "size: { unkown: reject }" },
    `size.unkown: "reject" (${FILE}): unknown key; did you mean size.unknown?`,
  ],
  [
    "an unknown key in wrong case",
    { ...UPSTREAM, file: "limits: { maximagesize: 5 }" },
    `limits.maximagesize: 5 (${FILE}): unknown key; did you mean limits.maxImageSize?`,
  ],
  [
    "a key in the wrong section",
    { ...UPSTREAM, file: "maxImageSize: 5" },
    `maxImageSize: 5 (${FILE}): unknown key; did you mean limits.maxImageSize?`,
  ],
  [
    "an unknown key in capitals",
    { ...UPSTREAM, file: "limits: { MAXIMAGESIZE: 5 }" },
    `limits.MAXIMAGESIZE: 5 (${FILE}): unknown key; did you mean limits.maxImageSize?`,
  ],
  [
    "an unknown key like no other",
    { ...UPSTREAM, file: "size: { colour: red }" },
    `size.colour: "red" (${FILE}): unknown key; the keys of size are hints, unknown, rules, defaultStore, reframe`,
  ],
  [
    "a key that every object has",
    { ...UPSTREAM, file: "size: { __proto__: 1 }" },
    `size.__proto__: 1 (${FILE}): unknown key; the keys of size are hints, unknown, rules, defaultStore, reframe`,
  ],
  [
    "a key given twice",
    { ...UPSTREAM, file: "log:\n  level: info\n  level: warn\n" },
    `log.level: set twice (${FILE}:3): remove one of the two`,
  ],
  [
    "a section given twice",
    { ...UPSTREAM, file: "log:\n  level: info\nsize: {}\nlog: {}\n" },
    `log: set twice (${FILE}:4): remove one of the two`,
  ],
  [
    "a list for a document",
    { ...UPSTREAM, file: "- a\n" },
    `configuration: ["a"] (${FILE}): must be a mapping with keys out of:`,
  ],
  [
    "text for a document",
    { ...UPSTREAM, file: "hello" },
    `configuration: "hello" (${FILE}): must be a mapping with keys out of:`,
  ],
  [
    "a quote that does not end",
    { ...UPSTREAM, file: 'log:\n  level: "info\n' },
    `${FILE}:3: Missing closing "quote`,
  ],
  [
    "two documents",
    { ...UPSTREAM, file: "log: {}\n---\nsize: {}\n" },
    `${FILE}:2: a second YAML document begins here: write all keys in one document`,
  ],
  [
    "a rule that names no policy",
    { ...UPSTREAM, file: "size: { rules: [{ unknown: spool }, { client: [curl] }] }" },
    `size.rules[1].unknown: missing (${FILE}): must be forward, spool or reject`,
  ],
  [
    "a rule with a policy that does not exist",
    { ...UPSTREAM, file: "size: { rules: [{ unknown: spool }, { unknown: spol }] }" },
    `size.rules[1].unknown: "spol" (${FILE}): must be forward, spool or reject`,
  ],
  [
    "a rule for a client that does not exist",
    { ...UPSTREAM, file: "size: { rules: [{ client: [curl, nova], unknown: spool }] }" },
    `size.rules[0].client: "nova" (${FILE}): ` +
      "must be a list of at least one of glanceclient, openstacksdk, gophercloud, curl, browser, other",
  ],
  [
    "a rule for no client",
    { ...UPSTREAM, file: "size: { rules: [{ client: [], unknown: spool }] }" },
    `size.rules[0].client: [] (${FILE}): must be a list of at least one of`,
  ],
  [
    "text in place of a rule's list",
    { ...UPSTREAM, file: "size: { rules: [{ store: cinder, unknown: spool }] }" },
    `size.rules[0].store: "cinder" (${FILE}): must be a list of at least one store identifier, such as ceph`,
  ],
  [
    "a rule for an operation that does not exist",
    { ...UPSTREAM, file: "size: { rules: [{ operation: import, unknown: spool }] }" },
    `size.rules[0].operation: "import" (${FILE}): must be file or stage`,
  ],
  [
    "an unknown key in a rule",
    { ...UPSTREAM, file: "size: { rules: [{ stores: [a], unknown: spool }] }" },
    `size.rules[0].stores: ["a"] (${FILE}): unknown key; did you mean size.rules[0].store?`,
  ],
  [
    "an unknown key in a rule, like no other",
    { ...UPSTREAM, file: "size: { rules: [{ __proto__: 1, unknown: spool }] }" },
    `size.rules[0].__proto__: 1 (${FILE}): ` +
      "unknown key; the keys of size.rules[0] are client, store, operation, unknown",
  ],
  [
    "a rule that is no mapping",
    { ...UPSTREAM, file: "size: { rules: [spool] }" },
    `size.rules[0]: "spool" (${FILE}): must be a mapping with keys out of: client, store, operation, unknown`,
  ],
  [
    "a rule in place of a list of rules",
    { ...UPSTREAM, file: "size: { rules: { unknown: spool } }" },
    `size.rules: {"unknown":"spool"} (${FILE}): must be a list of up to 100 rules, in a variable as JSON`,
  ],
  [
    "more rules than there are labels for",
    { ...UPSTREAM, file: `size: { rules: ${JSON.stringify(Array(101).fill({ unknown: "spool" }))} }` },
    'size.rules: [{"unknown":"spool"}',
  ],
  [
    "rules in a variable that are not JSON",
    { ...UPSTREAM, env: { GLANCE_SIZE_PROXY_SIZE__RULES: "unknown: spool" } },
    'size.rules: "unknown: spool" (GLANCE_SIZE_PROXY_SIZE__RULES): ' +
      "must be a list of up to 100 rules, in a variable as JSON",
  ],
  [
    "a bad rule in a variable",
    { ...UPSTREAM, env: { GLANCE_SIZE_PROXY_SIZE__RULES: '[{"unknown":"spool"},{"unknown":"spol"}]' } },
    'size.rules[1].unknown: "spol" (GLANCE_SIZE_PROXY_SIZE__RULES): must be forward, spool or reject',
  ],
  [
    "a default store that cannot be one",
    { ...UPSTREAM, file: "size: { defaultStore: 'a b' }" },
    `size.defaultStore: "a b" (${FILE}): must be the identifier of a store, such as ceph`,
  ],
  [
    "a header that is always read, as a hint",
    { ...UPSTREAM, file: "size: { hints: [upload-length, Content-Length] }" },
    `size.hints: "Content-Length" (${FILE}): must not have content-length, which the proxy always reads: remove it`,
  ],
  [
    "a spool limit per upload above the limit for all uploads",
    { ...UPSTREAM, file: "spool: { maxPerUpload: 30GiB }" },
    `spool.maxPerUpload: "30GiB" (${FILE}): must not exceed spool.maxTotal (20GiB): lower it, or raise spool.maxTotal`,
  ],
  [
    "a CA for a Glance without TLS",
    { ...UPSTREAM, env: { GLANCE_SIZE_PROXY_UPSTREAM__TLS__CA_FILE: "/ca.pem" } },
    'upstream.tls.caFile: "/ca.pem" (GLANCE_SIZE_PROXY_UPSTREAM__TLS__CA_FILE): has no effect without TLS: ' +
      "set upstream.url to https://..., or remove upstream.tls.caFile",
  ],
  [
    "more workers than a machine can run",
    { ...UPSTREAM, file: "workers: 100000" },
    `workers: 100000 (${FILE}): must be auto or an integer from 1 to 1024`,
  ],
  [
    "the proxy as its own upstream",
    { flags: { upstream: "http://127.0.0.1:9292" } },
    'upstream.url: "http://127.0.0.1:9292" (--upstream): is the proxy itself (listen.address is 0.0.0.0:9292): ' +
      "set the URL of Glance, or another listen.address",
  ],
  [
    "the proxy as its own upstream, by name",
    { flags: { upstream: "https://localhost:443/image", listen: "[::1]:443" } },
    'upstream.url: "https://localhost:443/image" (--upstream): is the proxy itself (listen.address is [::1]:443): ' +
      "set the URL of Glance, or another listen.address",
  ],
  [
    "a tag that means nothing",
    { ...UPSTREAM, file: "log: { level: !env LEVEL }" },
    `${FILE}:1: Unresolved tag`,
  ],
  ["an alias for nothing", { ...UPSTREAM, file: "log: { level: *a }" }, `${FILE}: Unresolved alias`],
  [
    "an alias to itself",
    { ...UPSTREAM, file: "size: { hints: &a [*a] }" },
    `size.hints: a value that contains itself (${FILE}): must be a list of header names`,
  ],
  [
    "a file that cannot be read, without complaint of what may be in it",
    { flags: { config: "/not/there" } },
    'config: "/not/there" (--config): must be a readable file: ENOENT',
  ],
  [
    "a file of the environment that cannot be read",
    { env: { GLANCE_SIZE_PROXY_CONFIG: "" } },
    'config: "" (GLANCE_SIZE_PROXY_CONFIG): must be a readable file: ENOENT',
  ],
  [
    "a variable with one underscore too few",
    { ...UPSTREAM, env: { GLANCE_SIZE_PROXY_SIZE_UNKNOWN: "reject" } },
    'GLANCE_SIZE_PROXY_SIZE_UNKNOWN: "reject" (environment): unknown variable; ' +
      "did you mean GLANCE_SIZE_PROXY_SIZE__UNKNOWN?",
  ],
  [
    "a variable like no other",
    { ...UPSTREAM, env: { GLANCE_SIZE_PROXY_SOMETHING_ELSE: "1" } },
    'GLANCE_SIZE_PROXY_SOMETHING_ELSE: "1" (environment): unknown variable',
  ],
  [
    "a port that Kubernetes would not have set",
    { ...UPSTREAM, env: { GLANCE_SIZE_PROXY_PORT: "8080" } },
    'GLANCE_SIZE_PROXY_PORT: "8080" (environment): unknown variable',
  ],
  [
    "a short and a long variable that differ",
    { env: { GLANCE_SIZE_PROXY_UPSTREAM: "http://a", GLANCE_SIZE_PROXY_UPSTREAM__URL: "http://b" } },
    'upstream.url: GLANCE_SIZE_PROXY_UPSTREAM ("http://a") and GLANCE_SIZE_PROXY_UPSTREAM__URL ("http://b") differ: ' +
      "set only one of them",
  ],
];

describe("bad input gives exactly one line", () => {
  it.each(cases)("%s", (_, sources, line) => {
    const faults = faultsOf(() => load(sources));
    expect(faults).toEqual([expect.stringContaining(line)]);
    // If the parser's own words or a long list follow, the case has only what comes before.
    expect(faults[0]?.startsWith(line)).toBe(true);
  });
});

it("reports all faults of all sources at once", () => {
  const faults = faultsOf(() =>
    load({
      flags: { listen: "nowhere" },
      env: { GLANCE_SIZE_PROXY_LOG__LEVEL: "loud", GLANCE_SIZE_PROXY_WHAT: "1" },
      file: "size: { unknown: 5, colour: red }\nlimits: { maxImageSize: x, maxHeaderSize: 1 }\n",
    }),
  );
  const names = faults.map((fault) => fault.slice(0, fault.indexOf(":")));
  expect(names.sort()).toEqual([
    "GLANCE_SIZE_PROXY_WHAT",
    "limits.maxHeaderSize",
    "limits.maxImageSize",
    "listen.address",
    "log.level",
    "size.colour",
    "size.unknown",
    "upstream.url",
  ]);
});

it.each([
  ["http://127.0.0.1:9292", "192.0.2.1:9292"],
  ["http://192.0.2.1:9292", "127.0.0.1:9292"],
  ["http://127.0.0.1:9291", "127.0.0.1:9292"],
  ["http://glance:9292", "0.0.0.0:9292"],
  ["http://127.0.0.2:9292", "127.0.0.1:9292"],
  ["http://127.0.0.1:9292", "[::1]:9292"],
  ["unix:/run/glance.sock", "0.0.0.0:80"],
])("accepts the upstream %s behind the address %s", (upstream, listen) => {
  expect(faultsOf(() => load({ flags: { upstream, listen } }))).toEqual([]);
});

describe("secrets and hostile text", () => {
  it.each([
    "http://user:hunter2@glance",
    "https://user:hunter2@glance:9292/a",
    "http://user:hun@hunter2@glance",
    "http://user:a/hunter2@glance",
    "http://hunter2@glance",
    "user:hunter2@glance",
    "http:user:hunter2@glance",
    "http:/user:hunter2@glance",
    "//user:hunter2@glance",
    "http://user:hunter2\n@glance",
    `http://user:${"x".repeat(200)}hunter2@glance`,
  ])("never shows the user info of %j", (url) => {
    const attempts: (() => unknown)[] = [
      () => load({ flags: { upstream: url } }),
      () => load({ env: { GLANCE_SIZE_PROXY_UPSTREAM: url, GLANCE_SIZE_PROXY_UPSTREAM__URL: "http://b" } }),
      () => load({ file: `upstream: { url: ${JSON.stringify(url)} }` }),
      () => load({ ...UPSTREAM, file: JSON.stringify({ upstream: [url], [url]: 1, uri: { deep: [url] } }) }),
      () => parseConfig({ upstream: { url } }),
    ];
    for (const attempt of attempts) {
      const faults = faultsOf(attempt);
      expect(faults.length).toBeGreaterThan(0);
      expect(faults.join("\n")).not.toMatch(/hunter2|xxxx/);
      expect(faults.join("\n")).toContain("***@");
    }
  });

  it("never shows what an unknown key calls a secret", () => {
    const file = "upstream: { password: hunter2 }\nkeystone: { auth: hunter2, nested: { token: hunter2 } }\n";
    const faults = faultsOf(() => load({ ...UPSTREAM, file, env: { GLANCE_SIZE_PROXY_TOKEN: "hunter2" } }));
    expect(faults).toHaveLength(3);
    expect(faults.join("\n")).not.toContain("hunter2");
  });

  it.each([
    "upstream:\n  url: http://u:hunter2@h\n hunter2",
    "log: { level: !hunter2 a }",
    "log: { level: *hunter2 }",
    "log: { level: %hunter2 }",
    "log: { level: @hunter2 }",
    'log: { level: "a"hunter2 }',
    'log: "\\xhunter2"',
    "%hunter2 a\n---\nlog: {}",
    "log: &hunter2 &hunter2 {}",
    "log: !<hunter2 a",
    "log: |hunter2\n  a",
    "log: !<hunter2> a",
    "log: !hunter2! a",
    "log: !a!hunter2 a",
  ])("does not quote a file that is not YAML: %j", (file) => {
    const faults = faultsOf(() => load({ ...UPSTREAM, file }));
    expect(faults.length).toBeGreaterThan(0);
    expect(faults.join("\n")).not.toContain("hunter2");
  });

  it("cuts long values", () => {
    const [fault] = faultsOf(() =>
      load({ ...UPSTREAM, env: { GLANCE_SIZE_PROXY_LOG__LEVEL: "x".repeat(5000) } }),
    );
    expect(fault).toContain("xxx... (GLANCE");
    expect(fault?.length).toBeLessThan(300);
  });

  it("keeps every fault on one line without control characters, whatever is given", () => {
    const text = fc.string({ unit: "binary" });
    fc.assert(
      fc.property(text, text, text, (value, name, path) => {
        const faults = faultsOf(() =>
          load({
            flags: { upstream: `?${value}`, config: path },
            env: { [`GLANCE_SIZE_PROXY_X${name}`]: value, GLANCE_SIZE_PROXY_LOG__LEVEL: `?${value}` },
          }),
        );
        expect(faults.length).toBe(path === FILE ? 3 : 4);
        for (const fault of faults) expect(fault).not.toMatch(/[\p{Cc}\u2028\u2029]/u);
      }),
    );
  });

  it("answers any YAML with a configuration or with faults, never with another error", () => {
    const fragments = fc.constantFrom(
      ..."size: |log:|level|{|}|[|]|- |\n|  |: |&a |*a |!x |'|\"|#|---\n|? |<<: |null|~|1|limits:|".split(
        "|",
      ),
    );
    fc.assert(
      fc.property(fc.array(fragments, { maxLength: 12 }), (parts) => {
        for (const fault of faultsOf(() => load({ ...UPSTREAM, file: parts.join("") }))) {
          expect(fault).not.toContain("\n");
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe("a caller's own object", () => {
  it("gets the defaults", () => {
    const config = parseConfig({ upstream: { url: "http://glance" } });
    expect(config).toEqual(load(UPSTREAM));
    expect(config.listen.address).toEqual({ host: "0.0.0.0", port: 9292 });
  });

  it("may leave keys undefined", () => {
    const input = { upstream: { url: "http://glance" }, size: undefined, log: { level: undefined } };
    expect(parseConfig(input as unknown as ConfigInput)).toEqual(load(UPSTREAM));
  });

  it.each<[string, unknown, string]>([
    [
      "nothing",
      {},
      "upstream.url: missing: must be the URL of Glance, such as http://127.0.0.1:19292, " +
        "without user, query or fragment",
    ],
    [
      "an undefined upstream",
      { upstream: { url: undefined } },
      "upstream.url: missing: must be the URL of Glance, such as http://127.0.0.1:19292, " +
        "without user, query or fragment",
    ],
    [
      "a wrong value",
      { upstream: { url: "http://g" }, size: { reframe: "yes" } },
      'size.reframe: "yes": must be true or false',
    ],
    [
      "an unknown key",
      { upstream: { url: "http://g" }, size: { reframed: true } },
      "size.reframed: true: unknown key; did you mean size.reframe?",
    ],
    [
      "what JSON cannot say",
      { upstream: { url: "http://g" }, log: { level: 5n } },
      'log.level: "5": must be debug, info, warn, error or silent',
    ],
  ])("gets the same faults, without a source: %s", (_, input, line) => {
    expect(faultsOf(() => parseConfig(input as ConfigInput))).toEqual([line]);
  });

  it("gets all faults in the message of the error", () => {
    const input = { size: { reframe: 1 } } as unknown as ConfigInput;
    expect(() => parseConfig(input)).toThrow(
      /upstream\.url: missing.*\nsize\.reframe: 1: must be true or false/,
    );
  });
});
