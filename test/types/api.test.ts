/** The types of the public API, as docs/api.md has them. `tsc` fails if a type differs. A run checks the values. */
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import express from "express";
import { pino } from "pino";
import { Registry } from "prom-client";
import { describe, expect, expectTypeOf, it } from "vitest";
import * as api from "../../src/index.js";
import {
  ConfigError,
  type ConfigInput,
  createGlanceSizeProxy,
  createServer,
  type GlanceSizeProxy,
  type GlanceSizeProxyOptions,
  type Log,
  type Middleware,
  type ProxyServer,
  type Reload,
  type UploadsSnapshot,
  type UploadView,
  version,
} from "../../src/index.js";

const upstream = { url: "http://127.0.0.1:9" };
const log: Log = { debug() {}, info() {}, warn() {}, error() {} };

it("exports these values and no others", () => {
  expect(Object.keys(api).sort()).toEqual([
    "ConfigError",
    "createGlanceSizeProxy",
    "createServer",
    "version",
  ]);
});

describe("createGlanceSizeProxy", () => {
  it("takes a configuration and options, and returns the middleware with its registry and uploads", () => {
    expectTypeOf(createGlanceSizeProxy).toEqualTypeOf<
      (config: ConfigInput, options?: GlanceSizeProxyOptions) => GlanceSizeProxy
    >();
    expectTypeOf<GlanceSizeProxy>().toExtend<Middleware>();
    expectTypeOf<GlanceSizeProxy["registry"]>().toEqualTypeOf<Registry>();
    expectTypeOf<GlanceSizeProxy["uploads"]>().toEqualTypeOf<() => UploadsSnapshot>();
    const proxy = createGlanceSizeProxy({ upstream }, { log });
    expect(proxy.registry).toBeInstanceOf(Registry);
    expect(proxy.uploads()).toEqual({ inFlight: [], finished: [] });
  });

  it("fits Node's server and Express", () => {
    expectTypeOf<Middleware>().toEqualTypeOf<
      (request: IncomingMessage, response: ServerResponse, next?: (error?: unknown) => void) => void
    >();
    const proxy = createGlanceSizeProxy({ upstream }, { log });
    expect(createHttpServer(proxy).on("checkContinue", proxy).listening).toBe(false);
    expect(express().use(proxy).use("/image", proxy)).toBeTypeOf("function");
  });

  it("needs a registry for each proxy", () => {
    expectTypeOf<GlanceSizeProxyOptions>().toEqualTypeOf<{
      readonly log?: Log;
      readonly registry?: Registry;
    }>();
    const registry = new Registry();
    expect(createGlanceSizeProxy({ upstream }, { log, registry }).registry).toBe(registry);
    expect(() => createGlanceSizeProxy({ upstream }, { log, registry })).toThrow(/already been registered/);
  });
});

describe("createServer", () => {
  it("returns a server that is started, reloaded, drained and closed", async () => {
    expectTypeOf(createServer).toEqualTypeOf<
      (config: ConfigInput, options?: GlanceSizeProxyOptions) => ProxyServer
    >();
    expectTypeOf<ProxyServer["reload"]>().toEqualTypeOf<(config?: ConfigInput) => Promise<Reload>>();
    expectTypeOf<Reload>().toEqualTypeOf<{
      readonly faults: readonly string[];
      readonly changed: readonly string[];
      readonly pending: readonly string[];
    }>();
    expectTypeOf<ProxyServer["drain"]>().toEqualTypeOf<(timeoutMs: number) => Promise<void>>();
    expectTypeOf<ProxyServer["close"]>().toEqualTypeOf<() => void>();
    expectTypeOf<Awaited<ReturnType<ProxyServer["start"]>>>().toExtend<{
      readonly listen: string;
      readonly admin: string;
      readonly relay: "raw" | "stream";
      readonly relayReason?: string;
    }>();
    const addresses = { listen: { address: "127.0.0.1:0" }, admin: { address: "127.0.0.1:0" } };
    const server = createServer({ upstream, ...addresses }, { log });
    const { listen, admin } = await server.start();
    const inUse = createServer({ upstream, ...addresses, admin: { address: new URL(admin).host } }, { log });
    await expect(inUse.start()).rejects.toThrow(`admin.address: cannot listen on ${new URL(admin).host}`);
    expect([listen, admin]).toEqual(Array(2).fill(expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/)));
    const changed = { upstream, ...addresses, limits: { maxImageSize: "1GiB" } };
    expect(await server.reload(changed)).toEqual({
      faults: [],
      changed: ["limits.maxImageSize"],
      pending: [],
    });
    expect(await server.reload()).toEqual({ faults: [], changed: [], pending: [] });
    const moved = { ...changed, listen: { address: "127.0.0.1:1" } };
    expect(await server.reload(moved)).toEqual({ faults: [], changed: [], pending: ["listen.address"] });
    expect(await server.reload({ upstream: { url: "nonsense" } })).toEqual({
      faults: [expect.stringMatching(/^upstream\.url: "nonsense": must be the URL of Glance/)],
      changed: [],
      pending: [],
    });
    await server.drain(0);
  });
});

describe("ConfigInput", () => {
  it("takes sizes and times as texts, and knows its keys", () => {
    expectTypeOf({ upstream, limits: { maxImageSize: "64MiB", idleTimeout: "30s" } }).toExtend<ConfigInput>();
    expectTypeOf({ upstream, limits: { maxImageSize: 65_536, idleTimeout: 0 } }).toExtend<ConfigInput>();
    expectTypeOf({ limits: {} }).not.toExtend<ConfigInput>(); // upstream.url is required
    // @ts-expect-error a key that does not exist
    expect(() => createGlanceSizeProxy({ upstream, limit: {} })).toThrow(ConfigError);
    // @ts-expect-error a value that does not exist
    expect(() => createGlanceSizeProxy({ upstream, size: { unknown: "guess" } })).toThrow(ConfigError);
  });
});

describe("ConfigError", () => {
  it("has a code, and one line for each fault", () => {
    expectTypeOf<ConfigError>().toExtend<Error>();
    expectTypeOf<ConfigError["code"]>().toEqualTypeOf<"invalid_config">();
    expectTypeOf<ConfigError["faults"]>().toEqualTypeOf<readonly string[]>();
    const error = new ConfigError(["a: wrong", "b: wrong"]);
    expect([error.code, error.message]).toEqual(["invalid_config", "a: wrong\nb: wrong"]);
  });
});

describe("the other types", () => {
  it("Log is what a logger of pino is", () => {
    expectTypeOf(pino()).toExtend<Log>();
    expectTypeOf<Log["info"]>().toEqualTypeOf<(fields: object, message: string) => void>();
  });

  it("an upload says what is known of it, and leaves out what is not", () => {
    expectTypeOf<UploadsSnapshot>().toEqualTypeOf<
      Readonly<{ inFlight: readonly UploadView[]; finished: readonly UploadView[] }>
    >();
    expectTypeOf<UploadView["operation"]>().toEqualTypeOf<"file" | "stage">();
    expectTypeOf<UploadView["receivedBytes"]>().toEqualTypeOf<number>();
    expectTypeOf<UploadView["declaredBytes"]>().toEqualTypeOf<number | undefined>();
    expectTypeOf<Extract<UploadView["outcome"], "completed" | "size_exceeded" | undefined>>().toEqualTypeOf<
      "completed" | "size_exceeded" | undefined
    >();
  });

  it("the version is a text", () => {
    expectTypeOf(version).toEqualTypeOf<string>();
    expect(version).toMatch(/^\d+\.\d+\.\d+/);
  });
});
