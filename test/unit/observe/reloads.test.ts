import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { ConfigError } from "../../../src/config/config-error.js";
import { completeConfig, type LoadedConfig } from "../../../src/config/load.js";
import { Reloads, type ReloadsOptions } from "../../../src/observe/reloads.js";

const upstream = { url: "http://glance.test" };
const sized = (maxImageSize: number): LoadedConfig => completeConfig({ upstream, limits: { maxImageSize } });

function setUp(apply: ReloadsOptions["apply"] = () => undefined, loaded = sized(0)) {
  const logged: [level: string, fields: object, message: string][] = [];
  const level = (name: string) => (fields: object, message: string) =>
    void logged.push([name, fields, message]);
  const counted: string[] = [];
  const reloads = new Reloads({
    loaded,
    log: { debug: level("debug"), info: level("info"), warn: level("warn"), error: level("error") },
    metrics: { reloaded: (result) => void counted.push(result), inForce: () => undefined },
    needsStart: (key) => key === "listen.address",
    remedy: "restart",
    apply,
  });
  return { reloads, logged, counted };
}

it("many requests at once run one after the other, and of those that wait only the last one runs", async () => {
  const applied: number[] = [];
  let running = 0;
  const { reloads, counted } = setUp(async ({ config }) => {
    expect((running += 1)).toBe(1);
    await Promise.resolve();
    applied.push(config.limits.maxImageSizeBytes);
    running -= 1;
  });
  const results = await Promise.all([1, 2, 3, 4].map((bytes) => reloads.request(() => sized(bytes))));
  expect(applied).toEqual([1, 4]);
  expect(results.map(({ changed }) => changed)).toEqual(Array(4).fill(["limits.maxImageSize"]));
  expect(reloads.config.limits.maxImageSizeBytes).toBe(4);
  expect(counted).toEqual(["success", "success"]);
});

it("a fault keeps the old configuration, is logged and counted, and the next reload runs", async () => {
  const { reloads, logged, counted } = setUp(({ config }) => {
    if (config.limits.maxImageSizeBytes === 1) throw new ConfigError(["a: wrong", "b: wrong"]);
  });
  expect(await reloads.request(() => sized(1))).toEqual({
    faults: ["a: wrong", "b: wrong"],
    changed: [],
    pending: [],
  });
  expect(reloads.config.limits.maxImageSizeBytes).toBe(0);
  expect(logged).toEqual([
    ["error", { faults: ["a: wrong", "b: wrong"] }, "cannot use the new configuration, keeping the old one"],
  ]);
  await reloads.request(() => sized(2));
  expect(reloads.config.limits.maxImageSizeBytes).toBe(2);
  expect(counted).toEqual(["failure", "success"]);
});

it("a key that needs a start keeps its value, also in the next reload, and the log says what to do", async () => {
  const applied: number[] = [];
  const { reloads, logged } = setUp(({ config }) => void applied.push(config.listen.address.port));
  const moved = completeConfig({ upstream, listen: { address: "0.0.0.0:1" }, log: { level: "debug" } });
  expect(await reloads.request(() => moved)).toEqual({
    faults: [],
    changed: ["log.level"],
    pending: ["listen.address"],
  });
  expect(logged.at(-1)).toEqual([
    "warn",
    { keys: ['listen.address: "0.0.0.0:9292" -> "0.0.0.0:1"'], remedy: "restart" },
    "some keys cannot change while running",
  ]);
  await reloads.request(() => moved);
  expect(applied).toEqual([9292, 9292]);
});

it("a file with other contents is a change of its key, and the log has neither the contents nor a digest", async () => {
  const directory = mkdtempSync(join(tmpdir(), "reloads-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const [token, certificate] = [join(directory, "token"), join(directory, "tls.pem")];
  const write = (secret: string, pem: string): void => {
    writeFileSync(token, secret);
    writeFileSync(certificate, pem);
  };
  write("one", "a");
  const tls = { certFile: certificate, keyFile: certificate };
  const guarded = completeConfig({ upstream, admin: { tokenFile: token }, listen: { tls } });
  let isFaulty = false;
  const { reloads, logged } = setUp(() => {
    if (isFaulty) throw new Error("wrong");
  }, guarded);
  const changed = async (): Promise<readonly string[]> => (await reloads.request()).changed;
  expect(await changed()).toEqual([]);
  write("two", "a");
  isFaulty = true;
  expect(await changed()).toEqual([]);
  isFaulty = false;
  expect(await changed()).toEqual(["admin.tokenFile"]);
  const [, fields] = logged.at(-1) ?? [];
  expect(fields).toEqual({
    changed: ["admin.tokenFile: other contents"],
    hash: expect.any(Number) as number,
  });
  write("two", "b");
  expect(await changed()).toEqual(["listen.tls.certFile", "listen.tls.keyFile"]);
  const other = join(directory, "other");
  writeFileSync(other, "three");
  const moved = completeConfig({ upstream, admin: { tokenFile: other }, listen: { tls } });
  expect((await reloads.request(() => moved)).changed).toEqual(["admin.tokenFile"]);
  expect(logged.at(-1)?.[1]).toMatchObject({ changed: ['admin.tokenFile: "***" -> "***"'] });
});

it("kept values that do not fit the new ones are a fault", async () => {
  const { reloads } = setUp();
  const swapped = completeConfig({
    upstream: { url: "http://127.0.0.1:9292" },
    listen: { address: "0.0.0.0:19292" },
  });
  const { faults } = await reloads.request(() => swapped);
  expect(faults).toEqual([expect.stringContaining("is the proxy itself (listen.address is 0.0.0.0:9292)")]);
});
