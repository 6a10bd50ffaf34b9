import { describe, expect, it } from "vitest";
import { changedKeys, describeChanges, hashConfig, withKeysOf } from "../../../src/config/changes.js";
import { completeConfig } from "../../../src/config/load.js";
import type { ConfigInput } from "../../../src/config/schema.js";

const upstream = { url: "https://glance.test" };
const complete = (keys: Partial<ConfigInput> = {}): ConfigInput =>
  completeConfig({ upstream, ...keys }).written;

describe("two configurations", () => {
  it("with the same values in other words do not differ", () => {
    const [one, other] = [
      complete({ limits: { maxImageSize: 1024 } }),
      complete({ limits: { maxImageSize: "1KiB" } }),
    ];
    expect(changedKeys(one, other)).toEqual([]);
    expect(hashConfig(one)).toBe(hashConfig(other));
  });

  it("differ in the keys that have other values, that are missing, and that are lists", () => {
    const after = complete({
      upstream: { ...upstream, tls: { caFile: "/ca.pem" } },
      cors: { allowedOrigins: ["https://horizon.test"] },
      workers: 2,
    });
    const changed = ["upstream.tls.caFile", "cors.allowedOrigins", "workers"];
    expect(changedKeys(complete(), after)).toEqual(changed);
    expect(describeChanges(complete(), after, changed)).toEqual([
      'upstream.tls.caFile: none -> "/ca.pem"',
      'cors.allowedOrigins: [] -> ["https://horizon.test"]',
      "workers: 1 -> 2",
    ]);
    expect(hashConfig(after)).not.toBe(hashConfig(complete()));
    expect(Number.isSafeInteger(hashConfig(after))).toBe(true);
  });
});

it("withKeysOf takes the values of some keys from another configuration, and removes a key that is not there", () => {
  const before = complete({ listen: { address: "127.0.0.1:1" } });
  const after = complete({
    listen: { address: "127.0.0.1:2", tls: { certFile: "/c.pem", keyFile: "/k.pem" } },
    log: { level: "debug" },
  });
  const kept = ["listen.address", "listen.tls.certFile", "listen.tls.keyFile"];
  const combined = withKeysOf(after, before, kept);
  expect(changedKeys(before, combined)).toEqual(["log.level"]);
  expect(changedKeys(combined, after)).toEqual(kept);
});
