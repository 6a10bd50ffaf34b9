import fc from "fast-check";
import { expect, it } from "vitest";
import { parse } from "yaml";
import { allKeys } from "../../../src/config/keys.js";
import { layerFromObject } from "../../../src/config/layer.js";
import { printConfig } from "../../../src/config/print.js";
import { type ConfigInput, configKeys } from "../../../src/config/schema.js";
import { loadAll } from "./sources.js";

const everything: ConfigInput = {
  upstream: {
    url: "https://[::1]:9292/image",
    connectTimeout: "1500ms",
    responseTimeout: 0,
    tls: { caFile: "ca", certFile: "cert", keyFile: "key", servername: "glance", rejectUnauthorized: false },
  },
  listen: {
    address: "[::]:9392",
    pathPrefix: "/image",
    tls: { certFile: "cert", keyFile: "key", clientCaFile: "ca" },
  },
  admin: {
    address: "127.0.0.1:0",
    tls: { certFile: "cert", keyFile: "key", clientCaFile: "ca" },
    tokenFile: "/token",
    hosts: ["admin.example", "::1"],
  },
  readiness: { silence: "5s" },
  enforce: false,
  size: {
    hints: ["X-Size"],
    unknown: "reject",
    rules: [
      { client: ["curl"], store: ["s3"], operation: "stage", unknown: "spool" },
      { unknown: "forward" },
    ],
    defaultStore: "ceph",
    reframe: false,
  },
  limits: { maxImageSize: "3GiB", maxConcurrentUploads: 9, idleTimeout: "2m", maxHeaderSize: 5000 },
  quota: { precheck: "auto", timeout: "7s" },
  upload: { relay: "raw" },
  rollback: { verify: false, timeout: "90s", interval: "1ms" },
  replay: { guard: false, window: "5m" },
  spool: { dir: "/spool", memory: "2MiB", maxPerUpload: "3GiB", maxTotal: "4GiB", onFull: "reject" },
  import: {
    methods: ["web-download"],
    webDownload: { schemes: ["https"], hosts: ["*.example.org"], deny: ["10.0.0.0/8"] },
    verifyStaged: false,
  },
  shutdown: { drainTimeout: "1d" },
  forwarded: { trust: ["10.0.0.0/8", "::1"] },
  cors: { allowedOrigins: ["https://horizon.example"] },
  hooks: {
    ...{ url: "https://hooks.example/uploads", secretFile: "/secret", timeout: "9s" },
    ...{ tries: 2, backoff: "20ms", queue: 7 },
  },
  workers: 3,
  log: { level: "silent", access: "all", owner: true },
};

function loadInput(input: ConfigInput) {
  return loadAll({ file: JSON.stringify(input) });
}

it("has a sample value for every key of the configuration", () => {
  const { faults, values } = layerFromObject(configKeys, everything, undefined);
  expect(faults).toEqual([]);
  expect([...values.keys()]).toEqual(allKeys(configKeys).map((key) => key.name));
});

it("prints sizes and times as one would write them in a file", () => {
  expect(parse(printConfig(loadInput(everything).written))).toEqual({
    ...everything,
    size: { ...everything.size, hints: ["x-size"] },
    limits: { ...everything.limits, maxHeaderSize: "5000B" },
  });
});

it.each<[string, ConfigInput]>([
  ["the defaults", { upstream: { url: "http://glance" } }],
  ["every key changed", everything],
])("prints %s so that it loads back to the same configuration", (_, input) => {
  const loaded = loadInput(input);
  expect(loadAll({ file: printConfig(loaded.written) })).toEqual(loaded);
});

it("prints any size, time and address so that it loads back", () => {
  const times = fc.nat(2 ** 31 - 2).map((ms) => ms + 1);
  const anyConfig = fc.record({
    limits: fc.record({
      maxImageSize: fc.maxSafeNat(),
      maxHeaderSize: fc.maxSafeNat().map((bytes) => Math.max(1024, bytes)),
      maxConcurrentUploads: fc.maxSafeNat(),
    }),
    rollback: fc.record({
      timeout: times.map((ms) => `${ms}ms`),
      interval: times.map((ms) => `${ms}ms`),
      verify: fc.boolean(),
    }),
    listen: fc.record({
      address: fc
        .tuple(
          fc.oneof(
            fc.ipV4(),
            fc.ipV6().map((host) => `[${host}]`),
            fc.domain(),
          ),
          fc.nat(65_535),
        )
        .map(([host, port]) => `${host}:${port}`),
    }),
  });
  fc.assert(
    fc.property(anyConfig, (input) => {
      const loaded = loadInput({ upstream: { url: "http://glance" }, ...input });
      expect(loadAll({ file: printConfig(loaded.written) })).toEqual(loaded);
    }),
  );
});

it("hides user info in a URL", () => {
  const written = { upstream: { url: "http://user:hunter2@glance:9292/a" } };
  expect(printConfig(written)).toContain("url: http://***@glance:9292/a\n");
});
