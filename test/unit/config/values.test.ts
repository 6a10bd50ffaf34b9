import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import {
  durationMs,
  hostEntry,
  listenAddress,
  network,
  origin,
  sizeBytes,
  upstreamUrl,
} from "../../../src/config/values.js";

describe("a size in the configuration", () => {
  it.each([
    [0, 0],
    ["0", 0],
    [123, 123],
    ["123", 123],
    ["1B", 1],
    ["1KiB", 1024],
    ["64 MiB", 67_108_864],
    ["10GiB", 10_737_418_240],
    ["2TiB", 2_199_023_255_552],
    [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  ])("reads %j as %d bytes", (written, bytes) => {
    expect(sizeBytes.parse(written)).toBe(bytes);
  });

  it.each([
    "",
    " 1",
    "-1",
    "+5",
    "1_000",
    "0x5",
    "5.0",
    "1.5GiB",
    "1GB",
    "1gib",
    "5,5",
    "1KiB ",
    "٣",
    "8192TiB",
  ])("refuses %j", (written) => {
    expect(sizeBytes.safeParse(written).success).toBe(false);
  });

  it.each([-1, 0.5, 1e21, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])(
    "refuses the number %d",
    (written) => {
      expect(sizeBytes.safeParse(written).success).toBe(false);
    },
  );

  it.each([
    [0, 0],
    [1, "1B"],
    [1023, "1023B"],
    [1025, "1025B"],
    [1536, "1536B"],
    [65_536, "64KiB"],
    [2 ** 40, "1TiB"],
  ])("writes %d bytes as %j", (bytes, written) => {
    expect(z.encode(sizeBytes, bytes)).toBe(written);
  });

  it("writes every size so that it reads back exactly", () => {
    const sizes = fc.oneof(
      fc.maxSafeNat(),
      fc.tuple(fc.nat(4), fc.nat(8000)).map(([power, n]) => n * 1024 ** power),
    );
    fc.assert(fc.property(sizes, (bytes) => sizeBytes.parse(z.encode(sizeBytes, bytes)) === bytes));
  });
});

describe("a time in the configuration", () => {
  it.each([
    [0, 0],
    ["0", 0],
    ["500ms", 500],
    ["30s", 30_000],
    ["5 m", 300_000],
    ["6h", 21_600_000],
    ["24d", 2_073_600_000],
    ["2147483647ms", 2_147_483_647],
  ])("reads %j as %d ms", (written, ms) => {
    expect(durationMs.parse(written)).toBe(ms);
  });

  it.each(["", "5", "-5s", "1.5s", "s", "5 sec", "5S", "1h30m", "25d", "2147483648ms"])(
    "refuses %j",
    (written) => {
      expect(durationMs.safeParse(written).success).toBe(false);
    },
  );

  it.each([5, -1, 0.5, Number.NaN])("refuses the number %d, which has no unit", (written) => {
    expect(durationMs.safeParse(written).success).toBe(false);
  });

  it.each([
    [0, 0],
    [1, "1ms"],
    [1500, "1500ms"],
    [90_000, "90s"],
    [3_600_000, "1h"],
    [172_800_000, "2d"],
  ])("writes %d ms as %j", (ms, written) => {
    expect(z.encode(durationMs, ms)).toBe(written);
  });

  it("writes every time so that it reads back exactly", () => {
    const unit = fc.constantFrom(1, 1000, 60_000, 3_600_000, 86_400_000);
    const times = fc.tuple(unit, fc.nat(24)).map(([factor, n]) => factor * n);
    const anyTime = fc.oneof(times, fc.nat(2 ** 31 - 1));
    fc.assert(fc.property(anyTime, (ms) => durationMs.parse(z.encode(durationMs, ms)) === ms));
  });
});

describe("an address to listen on", () => {
  it.each([
    ["0.0.0.0:9292", "0.0.0.0", 9292],
    ["[::1]:0", "::1", 0],
    ["[fe80::1%eth0]:1", "fe80::1%eth0", 1],
    ["glance.example:65535", "glance.example", 65_535],
  ])("reads %j and writes it back", (written, host, port) => {
    expect(listenAddress.parse(written)).toEqual({ host, port });
    expect(z.encode(listenAddress, { host, port })).toBe(written);
  });

  it.each([
    "",
    "9292",
    ":9292",
    "::1:9292",
    "[::1]",
    "[::g]:1",
    "[127.0.0.1]:1",
    "h:65536",
    "h:",
    "h:-1",
    "a b:1",
  ])("refuses %j", (written) => {
    expect(listenAddress.safeParse(written).success).toBe(false);
  });

  it.each(["300.1.1.1:80", "1.2.3:80", "http://h:80", "u@h:80"])(
    "refuses %j, which is no name",
    (written) => {
      expect(listenAddress.safeParse(written).success).toBe(false);
    },
  );
});

describe("the URL of Glance", () => {
  it.each([
    ["http://127.0.0.1:9292", "http://127.0.0.1:9292"],
    ["HTTP://Glance.example/", "http://glance.example"],
    ["http://[::1]:9292/image", "http://[::1]:9292/image"],
    ["http://glance/image/", "http://glance/image/"],
  ])("reads %j and writes it as %j", (given, written) => {
    expect(z.encode(upstreamUrl, upstreamUrl.parse(given))).toBe(written);
  });

  it.each([
    "",
    "glance:9292",
    "ftp://glance",
    "file:///etc/passwd",
    "http:glance",
    "http://",
    "http://glance:99999",
    "http://user@glance",
    "http://user:secret@glance",
    "http://glance?",
    "http://glance?a=b",
    "http://glance#",
    "http://glance/#a",
    " http://glance",
    "http://gla\nnce",
  ])("refuses %j", (given) => {
    expect(upstreamUrl.safeParse(given).success).toBe(false);
  });
});

describe("a network or origin", () => {
  it.each(["192.0.2.7", "10.0.0.0/8", "::1", "2001:db8::/32"])("takes the network %j", (written) => {
    expect(network.parse(written)).toBe(written);
  });

  it.each(["", "glance", "10.0.0.0/33", "10.0.0.256", "::/129", "10.0.0.0/"])(
    "refuses the network %j",
    (written) => {
      expect(network.safeParse(written).success).toBe(false);
    },
  );

  it.each(["https://horizon.example", "http://h:8080", "*"])("takes the origin %j", (written) => {
    expect(origin.parse(written)).toBe(written);
  });

  it.each([
    "",
    "null",
    "horizon.example",
    "https://h/",
    "https://h/a",
    "https://H",
    "https://h:443",
    "https://u@h",
  ])("refuses the origin %j", (written) => {
    expect(origin.safeParse(written).success).toBe(false);
  });

  it.each([
    "example.org",
    "*.example.org",
    "a_b",
    "xn--bcher-kva.example",
    "10.0.0.1",
    "::1",
    "10.0.0.0/8",
    "fd00::/8",
  ])("takes the host %j", (written) => {
    expect(hostEntry.parse(written)).toBe(written);
  });

  it("takes the host Example.ORG in lower case", () => {
    expect(hostEntry.parse("Example.ORG")).toBe("example.org");
  });

  it.each([
    "",
    "*",
    "*.",
    "a.*.b",
    "127.1",
    "2130706433",
    "0x7f.1",
    "a.1",
    "example.org.",
    "[::1]",
    "a b",
    "http://a",
    "a:80",
    "b\u00FCcher",
  ])("refuses the host %j", (written) => {
    expect(hostEntry.safeParse(written).success).toBe(false);
  });
});
