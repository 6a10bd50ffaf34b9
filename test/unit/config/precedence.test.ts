import { describe, expect, it } from "vitest";
import { load, type Sources } from "./sources.js";

const DEFAULT: Sources = { flags: { upstream: "http://glance" } };

describe("the precedence of values", () => {
  /** One way to give a value each, weakest first; each value is different, so the winner can be told. */
  const ways: { key: string; read: (sources: Sources) => unknown; steps: Sources[]; values: unknown[] }[] = [
    {
      key: "upstream.url",
      read: (sources) => load(sources).upstream.url.href,
      steps: [
        { file: "upstream: { url: http://file }" },
        { env: { GLANCE_SIZE_PROXY_UPSTREAM: "http://env" } },
        { flags: { upstream: "http://flag" } },
      ],
      values: ["http://file/", "http://env/", "http://flag/"],
    },
    {
      key: "listen.address",
      read: (sources) => load(sources).listen.address.port,
      steps: [
        DEFAULT,
        { file: "listen: { address: h:1 }" },
        { env: { GLANCE_SIZE_PROXY_LISTEN: "h:2" } },
        { flags: { listen: "h:3" } },
      ],
      values: [9292, 1, 2, 3],
    },
    {
      key: "admin.address",
      read: (sources) => load(sources).admin.address.port,
      steps: [
        DEFAULT,
        { file: "admin: { address: h:1 }" },
        { env: { GLANCE_SIZE_PROXY_ADMIN_LISTEN: "h:2" } },
        { flags: { adminListen: "h:3" } },
      ],
      values: [9190, 1, 2, 3],
    },
    {
      key: "size.unknown, which has no flag",
      read: (sources) => load(sources).size.unknown,
      steps: [
        DEFAULT,
        { file: "size: { unknown: reject }" },
        { env: { GLANCE_SIZE_PROXY_SIZE__UNKNOWN: "forward" } },
      ],
      values: ["forward", "reject", "forward"],
    },
    {
      key: "size.hints, replaced as a whole",
      read: (sources) => load(sources).size.hints,
      steps: [DEFAULT, { file: "size: { hints: [a, B] }" }, { env: { GLANCE_SIZE_PROXY_SIZE__HINTS: "c" } }],
      values: [
        ["x-image-meta-size", "upload-length", "x-upload-content-length", "x-expected-entity-length"],
        ["a", "b"],
        ["c"],
      ],
    },
  ];

  function over(lower: Sources, upper: Sources): Sources {
    return { ...lower, ...upper, flags: { ...lower.flags, ...upper.flags } };
  }

  describe.each(ways)("$key", ({ read, steps, values }) => {
    it.each(steps.map((_, index) => index))("source %d overrides all below it", (index) => {
      const sources = steps.slice(0, index + 1).reduce(over);
      expect(read(sources)).toEqual(values[index]);
    });

    it("does not depend on the sources in between", () => {
      const [first, last] = [steps[0] ?? {}, steps.at(-1) ?? {}];
      expect(read(over(first, last))).toEqual(values.at(-1));
    });
  });

  it("merges key by key: the rest of a section stays that of the file", () => {
    const config = load({
      ...DEFAULT,
      file: "limits: { idleTimeout: 5s, maxConcurrentUploads: 7 }",
      env: { GLANCE_SIZE_PROXY_LIMITS__IDLE_TIMEOUT: "6s" },
    });
    expect(config.limits).toEqual({
      idleTimeoutMs: 6000,
      maxConcurrentUploads: 7,
      maxImageSizeBytes: 0,
      maxHeaderSizeBytes: 65_536,
    });
  });

  it("ignores a bad value that is overridden", () => {
    const file = "upstream: { url: 5 }";
    expect(load({ file, flags: { upstream: "http://flag" } }).upstream.url.hostname).toBe("flag");
  });

  it("takes the file that the flag names before the one of the environment", () => {
    const env = { GLANCE_SIZE_PROXY_CONFIG: "/not/there.yaml" };
    expect(load({ file: "upstream: { url: http://file }", env }).upstream.url.hostname).toBe("file");
  });

  it("takes the file that the environment names", () => {
    const env = { GLANCE_SIZE_PROXY_CONFIG: "/etc/proxy.yaml" };
    const file = "upstream: { url: http://file }";
    expect(load({ file, env, flags: { config: undefined } }).upstream.url.hostname).toBe("file");
  });
});

describe("environment variables", () => {
  it.each([
    ["true", true],
    ["false", false],
  ])("reads the boolean %j", (text, value) => {
    const env = { GLANCE_SIZE_PROXY_SIZE__REFRAME: text };
    expect(load({ ...DEFAULT, env }).size.reframe).toBe(value);
  });

  it.each([
    ["", []],
    ["  ", []],
    ["10.0.0.0/8", ["10.0.0.0/8"]],
    [" 10.0.0.0/8 , ::1", ["10.0.0.0/8", "::1"]],
  ])("reads the list %j", (text, value) => {
    const env = { GLANCE_SIZE_PROXY_FORWARDED__TRUST: text };
    expect(load({ ...DEFAULT, env }).forwarded.trust).toEqual(value);
  });

  it("reads whole numbers, sizes and times", () => {
    const config = load({
      ...DEFAULT,
      env: {
        GLANCE_SIZE_PROXY_LIMITS__MAX_CONCURRENT_UPLOADS: "12",
        GLANCE_SIZE_PROXY_LIMITS__MAX_IMAGE_SIZE: "1GiB",
        GLANCE_SIZE_PROXY_LIMITS__MAX_HEADER_SIZE: "2048",
        GLANCE_SIZE_PROXY_LIMITS__IDLE_TIMEOUT: "0",
      },
    });
    const limits = {
      maxConcurrentUploads: 12,
      maxImageSizeBytes: 2 ** 30,
      maxHeaderSizeBytes: 2048,
      idleTimeoutMs: 0,
    };
    expect(config.limits).toEqual(limits);
  });

  it("takes the long name of a flag's key", () => {
    const env = { GLANCE_SIZE_PROXY_UPSTREAM__URL: "http://long" };
    expect(load({ env }).upstream.url.hostname).toBe("long");
  });

  it("takes both names with the same value", () => {
    const env = { GLANCE_SIZE_PROXY_UPSTREAM: "http://same", GLANCE_SIZE_PROXY_UPSTREAM__URL: "http://same" };
    expect(load({ env }).upstream.url.hostname).toBe("same");
  });

  it("ignores variables of other programs and those that are not set", () => {
    const env = { PATH: "/bin", GLANCE_SIZE: "x", GLANCE_SIZE_PROXY_NOTHING: undefined };
    expect(() => load({ ...DEFAULT, env })).not.toThrow();
  });

  it.each([
    ["GLANCE_SIZE_PROXY_SERVICE_HOST", "10.96.0.7"],
    ["GLANCE_SIZE_PROXY_SERVICE_PORT", "9292"],
    ["GLANCE_SIZE_PROXY_SERVICE_PORT_HTTP", "9292"],
    ["GLANCE_SIZE_PROXY_SERVICE_PORT_PORT", "9292"],
    ["GLANCE_SIZE_PROXY_PORT", "tcp://10.96.0.7:9292"],
    ["GLANCE_SIZE_PROXY_PORT_9292_TCP", "tcp://10.96.0.7:9292"],
    ["GLANCE_SIZE_PROXY_PORT_9292_TCP_PROTO", "tcp"],
    ["GLANCE_SIZE_PROXY_PORT_9292_TCP_PORT", "9292"],
    ["GLANCE_SIZE_PROXY_PORT_9292_TCP_ADDR", "10.96.0.7"],
    ["GLANCE_SIZE_PROXY_PORT_53_UDP", "udp://10.96.0.7:53"],
    ["GLANCE_SIZE_PROXY_PORT_53_SCTP_ADDR", "10.96.0.7"],
    ["GLANCE_SIZE_PROXY_ADMIN_SERVICE_HOST", "10.96.0.8"],
    ["GLANCE_SIZE_PROXY_ADMIN_PORT", "tcp://10.96.0.8:9190"],
  ])("ignores what Kubernetes sets: %s=%s", (name, value) => {
    expect(() => load({ ...DEFAULT, env: { [name]: value } })).not.toThrow();
  });
});

describe("the configuration file", () => {
  it.each(["", "# nothing\n", "---\n", "size:\n", "size: {}\n", "\uFEFFsize: {}\n"])(
    "may be empty, or have empty sections: %j",
    (file) => {
      expect(load({ ...DEFAULT, file })).toEqual(load(DEFAULT));
    },
  );

  it("may use anchors", () => {
    const file = "upstream: { url: http://glance, connectTimeout: &t 7s }\nrollback: { timeout: *t }\n";
    expect(load({ file }).rollback.timeoutMs).toBe(7000);
  });
});
