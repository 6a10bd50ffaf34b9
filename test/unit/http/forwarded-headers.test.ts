import { describe, expect, it, vi } from "vitest";
import { createHeaderForwarder } from "../../../src/http/forwarded-headers.js";
import { createRequestHead, valuesOf } from "../../../src/http/request-head.js";

const INSTANCE = "glance-size-proxy-0123abcd";

interface Case {
  readonly trust?: readonly string[];
  readonly address?: string | undefined;
  readonly encrypted?: boolean;
  readonly httpVersion?: string;
  readonly onDropped?: (name: string) => void;
}

function forward(rawHeaders: readonly string[], options: Case = {}) {
  const { trust = [], encrypted = false, httpVersion = "1.1", onDropped = () => undefined } = options;
  const address = "address" in options ? options.address : "192.0.2.7";
  const forwarder = createHeaderForwarder(INSTANCE, trust, onDropped);
  const lines = forwarder.forRequest(createRequestHead(rawHeaders), httpVersion, { address, encrypted });
  return Object.fromEntries(
    lines.map(({ name }) => {
      const values = valuesOf(lines, name);
      return [name, values.length === 1 ? String(values[0]) : values];
    }),
  );
}

const CLAIMED = [
  ...["Host", "glance.test"],
  ...["X-Forwarded-For", "203.0.113.1"],
  ...["X-Forwarded-Proto", "https"],
  ...["X-Forwarded-Host", "cloud.test"],
  ...["X-Forwarded-Prefix", "/image"],
  ...["Forwarded", "for=203.0.113.1;proto=https"],
];

describe("a forwarded request has", () => {
  it("its own Host, and the address that it came from", () => {
    expect(forward(["Host", "glance.test:9292", "X-Auth-Token", "t"])).toEqual({
      host: "glance.test:9292",
      "x-auth-token": "t",
      "x-forwarded-for": "192.0.2.7",
      "x-forwarded-proto": "http",
      "x-forwarded-host": "glance.test:9292",
      via: `1.1 ${INSTANCE}`,
    });
  });

  it("https as its protocol if it came over TLS", () => {
    expect(forward([], { encrypted: true })["x-forwarded-proto"]).toBe("https");
  });

  it("its repeated headers, each on a line of its own", () => {
    expect(forward(["X-A", "1", "X-A", "2", "X-A", "3"])["x-a"]).toEqual(["1", "2", "3"]);
  });

  it("no hop-by-hop header, and none that Connection names", () => {
    const headers = forward(["Connection", "close, X-One", "X-One", "1", "TE", "trailers", "Trailer", "x"]);
    expect(Object.keys(headers).sort()).toEqual(["via", "x-forwarded-for", "x-forwarded-proto"]);
  });

  it("no Expect: the proxy answers it", () => {
    expect(forward(["Expect", "100-continue"])).not.toHaveProperty("expect");
  });

  it("the proxy's own headers, even if Connection names them", () => {
    const headers = forward(["Connection", "via, x-forwarded-for, x-forwarded-proto"]);
    expect(headers["via"]).toBe(`1.1 ${INSTANCE}`);
    expect(headers["x-forwarded-for"]).toBe("192.0.2.7");
    expect(headers["x-forwarded-proto"]).toBe("http");
  });

  it("no header whose name has an underscore; each is reported", () => {
    const onDropped = vi.fn();
    const headers = forward(["Content_Length", "5", "X_A-B", "1", "X-Kept", "1"], { onDropped });
    expect(Object.keys(headers).filter((name) => name.includes("_"))).toEqual([]);
    expect(headers["x-kept"]).toBe("1");
    expect(onDropped.mock.calls).toEqual([["content_length"], ["x_a-b"]]);
  });

  it("an unknown address marked as unknown", () => {
    expect(forward([], { address: undefined })["x-forwarded-for"]).toBe("unknown");
  });
});

describe("forwarding headers of a peer that is not trusted", () => {
  it.each([
    ["nobody is", [], "192.0.2.7"],
    ["another address is", ["192.0.2.8"], "192.0.2.7"],
    ["another network is", ["10.0.0.0/8", "2001:db8::/32"], "192.0.2.7"],
    ["another IPv6 network is", ["2001:db8::/32"], "2001:db9::1"],
    ["its address is not known", ["0.0.0.0/0", "::/0"], undefined],
  ])("are replaced: %s", (_, trust, address) => {
    const headers = forward(CLAIMED, { trust, address });
    expect(headers).toEqual({
      host: "glance.test",
      "x-forwarded-for": address ?? "unknown",
      "x-forwarded-proto": "http",
      "x-forwarded-host": "glance.test",
      via: `1.1 ${INSTANCE}`,
    });
  });
});

describe("forwarding headers of a trusted peer", () => {
  it.each([
    ["an IPv4 address", "192.0.2.7", "192.0.2.7"],
    ["an IPv4 network", "192.0.2.0/24", "192.0.2.7"],
    ["an IPv4 address seen by a dual-stack socket", "192.0.2.7", "::ffff:192.0.2.7"],
    ["an IPv4 network seen by a dual-stack socket", "192.0.2.0/24", "::ffff:192.0.2.7"],
    ["an IPv6 address", "2001:db8::1", "2001:db8:0:0::1"],
    ["an IPv6 network", "2001:db8::/32", "2001:db8:ffff::1"],
  ])("are kept and continued: %s", (_, trust, address) => {
    const headers = forward(CLAIMED, { trust: [trust], address });
    expect(headers).toMatchObject({
      "x-forwarded-for": `203.0.113.1, ${address}`,
      "x-forwarded-proto": "https",
      "x-forwarded-host": "cloud.test",
      "x-forwarded-prefix": "/image",
    });
    const node = address.includes(":") ? `"[${address}]"` : address;
    expect(headers["forwarded"]).toBe(`for=203.0.113.1;proto=https, for=${node};proto=http`);
  });

  it("are joined if they came on several lines", () => {
    const headers = forward(["X-Forwarded-For", "a", "X-Forwarded-For", "b"], { trust: ["192.0.2.7"] });
    expect(headers["x-forwarded-for"]).toBe("a, b, 192.0.2.7");
  });

  it("are begun if there are none, without a Forwarded", () => {
    const headers = forward(["Host", "h"], { trust: ["192.0.2.7"] });
    expect(headers).toMatchObject({ "x-forwarded-for": "192.0.2.7", "x-forwarded-proto": "http" });
    expect(headers).not.toHaveProperty("forwarded");
  });
});

describe("Via", () => {
  it("is appended, with the version that came in", () => {
    expect(forward(["Via", "1.1 a", "Via", "1.0 b"], { httpVersion: "1.0" })["via"]).toBe(
      `1.1 a, 1.0 b, 1.0 ${INSTANCE}`,
    );
  });

  it.each([
    `1.1 ${INSTANCE}`,
    `1.1 a, 1.1 ${INSTANCE}, 1.1 b`,
    `1.1 a,1.1 ${INSTANCE} (comment)`,
    `1.1\t${INSTANCE}`,
  ])("%j is a loop", (via) => {
    expect(() => forward(["Via", "1.1 x", "Via", via])).toThrow(
      expect.objectContaining({ code: "loop", status: 508 }),
    );
  });

  it("is checked for loops even if Connection names it", () => {
    expect(() => forward(["Connection", "via", "Via", `1.1 ${INSTANCE}`])).toThrow(
      expect.objectContaining({ code: "loop" }),
    );
  });

  it.each([`1.1 ${INSTANCE}4`, "1.1 glance-size-proxy-ffffffff", `1.1 x${INSTANCE}`])(
    "%s is another proxy",
    (via) => {
      expect(() => forward(["Via", via])).not.toThrow();
    },
  );
});

describe("a forwarded answer", () => {
  const answer = (...rawHeaders: string[]) =>
    createHeaderForwarder(INSTANCE, [], () => undefined).forResponse(
      createRequestHead(rawHeaders).lines,
      "1.1",
    );

  it("has its repeated headers and Via, but no hop-by-hop headers", () => {
    expect(
      answer("Set-Cookie", "a", "Connection", "X-A", "X-A", "1", "Set-Cookie", "b", "Keep-Alive", "x"),
    ).toEqual([...["set-cookie", "a"], ...["set-cookie", "b"], ...["via", `1.1 ${INSTANCE}`]]);
  });

  it("keeps its own Via and adds the proxy's", () => {
    expect(answer("Via", "1.1 a")).toEqual(["via", `1.1 a, 1.1 ${INSTANCE}`]);
  });
});
