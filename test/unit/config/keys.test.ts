import { describe, expect, it } from "vitest";
import { z } from "zod";
import { layerFromEnvironment } from "../../../src/config/environment.js";
import { allKeys, readKeys } from "../../../src/config/keys.js";
import { layerFromObject } from "../../../src/config/layer.js";
import { resolve } from "../../../src/config/resolve.js";
import { configSchema } from "../../../src/config/schema.js";
import { sizeBytes } from "../../../src/config/values.js";
import { faultsOf } from "./sources.js";

describe("the configuration schema", () => {
  const keys = allKeys(readKeys(configSchema));

  it.each(keys.map((key) => [key.name, key] as const))("says what %s means and takes", (_, key) => {
    expect(key.meaning).toMatch(/^[A-Z].+\.$/);
    expect(key.takes).toMatch(/[^.]$/);
    // What a bare string takes cannot be told from its type.
    expect(key.takes).not.toBe("text");
  });

  it("requires only upstream.url", () => {
    expect(keys.filter((key) => key.required).map((key) => key.name)).toEqual(["upstream.url"]);
  });

  it("has a variable of its own for every key", () => {
    expect(new Set(keys.map((key) => key.env)).size).toBe(keys.length);
  });
});

/** Shapes that a schema may have besides those of today: three levels, unions, optional keys and sections. */
const shapes = z.strictObject({
  workers: z
    .union([z.literal("auto"), z.int().min(1)])
    .prefault("auto")
    .describe("Processes."),
  listen: z
    .strictObject({
      tls: z
        .strictObject({
          certFile: z.string().min(1).optional(),
          minVersion: z.enum(["1.2", "1.3"]).default("1.2"),
        })
        .prefault({}),
      proof: z.strictObject({ file: z.string(), bits: z.number().optional() }).optional(),
    })
    .superRefine(({ tls }, context) => {
      if (tls.certFile === undefined && tls.minVersion === "1.3") {
        context.addIssue({ code: "custom", path: ["tls", "certFile"], message: "needed for minVersion" });
      }
      if (tls.certFile === "lonely") {
        context.addIssue({ code: "custom", path: ["tls", "certFile"], message: "needs listen.tls.keyFile" });
      }
    })
    .prefault({}),
  cache: z
    .strictObject({ memory: sizeBytes.refine((bytes) => bytes > 0).optional() })
    .prefault({ memory: "1MiB" }),
  strict: z.boolean().nullable().optional(),
});

describe("schemas with three levels, unions and optional keys", () => {
  const root = readKeys(shapes);

  function resolveFrom(env: Record<string, string>, input: unknown = {}): z.output<typeof shapes> {
    const layers = [layerFromObject(root, input, "file"), layerFromEnvironment(root, env)];
    return resolve(shapes, root, layers, (key) => `set ${key.env}`);
  }

  it("are read as keys", () => {
    expect(allKeys(root).map(({ name, env, takes, required }) => ({ name, env, takes, required }))).toEqual([
      {
        name: "workers",
        env: "GLANCE_SIZE_PROXY_WORKERS",
        takes: "auto or an integer of at least 1",
        required: false,
      },
      {
        name: "listen.tls.certFile",
        env: "GLANCE_SIZE_PROXY_LISTEN__TLS__CERT_FILE",
        takes: "text",
        required: false,
      },
      {
        name: "listen.tls.minVersion",
        env: "GLANCE_SIZE_PROXY_LISTEN__TLS__MIN_VERSION",
        takes: "1.2 or 1.3",
        required: false,
      },
      {
        name: "listen.proof.file",
        env: "GLANCE_SIZE_PROXY_LISTEN__PROOF__FILE",
        takes: "text",
        required: true,
      },
      {
        name: "listen.proof.bits",
        env: "GLANCE_SIZE_PROXY_LISTEN__PROOF__BITS",
        takes: "a number",
        required: false,
      },
      {
        name: "cache.memory",
        env: "GLANCE_SIZE_PROXY_CACHE__MEMORY",
        takes: "a number of bytes, or a size with a unit, such as 64MiB or 10GiB",
        required: false,
      },
      { name: "strict", env: "GLANCE_SIZE_PROXY_STRICT", takes: "true or false", required: false },
    ]);
  });

  it("get their defaults, those of whole sections included", () => {
    const cache = { memory: 2 ** 20 };
    expect(resolveFrom({})).toEqual({ workers: "auto", listen: { tls: { minVersion: "1.2" } }, cache });
  });

  it("take the environment over three levels and in unions", () => {
    const config = resolveFrom(
      {
        GLANCE_SIZE_PROXY_WORKERS: "4",
        GLANCE_SIZE_PROXY_LISTEN__TLS__MIN_VERSION: "1.3",
        GLANCE_SIZE_PROXY_STRICT: "true",
      },
      { listen: { tls: { certFile: "/a", minVersion: "1.2" } } },
    );
    expect(config).toMatchObject({
      workers: 4,
      listen: { tls: { certFile: "/a", minVersion: "1.3" } },
      strict: true,
    });
  });

  it("take the literal of a union from the environment", () => {
    expect(resolveFrom({ GLANCE_SIZE_PROXY_WORKERS: "auto" }, { workers: 3 }).workers).toBe("auto");
  });

  it.each([
    [
      { GLANCE_SIZE_PROXY_WORKERS: "0" },
      "workers: 0 (GLANCE_SIZE_PROXY_WORKERS): must be auto or an integer of at least 1",
    ],
    [
      { GLANCE_SIZE_PROXY_WORKERS: "some" },
      'workers: "some" (GLANCE_SIZE_PROXY_WORKERS): must be auto or an integer of at least 1',
    ],
    [
      { GLANCE_SIZE_PROXY_LISTEN__PROOF__BITS: "5" },
      "listen.proof.file: missing: set GLANCE_SIZE_PROXY_LISTEN__PROOF__FILE",
    ],
    [
      { GLANCE_SIZE_PROXY_LISTEN__TLS__CERT_FILE: "" },
      'listen.tls.certFile: "" (GLANCE_SIZE_PROXY_LISTEN__TLS__CERT_FILE): must be text',
    ],
    [
      { GLANCE_SIZE_PROXY_LISTEN__TLS__CERT_FILE: "lonely" },
      'listen.tls.certFile: "lonely" (GLANCE_SIZE_PROXY_LISTEN__TLS__CERT_FILE): needs listen.tls.keyFile',
    ],
    [{ GLANCE_SIZE_PROXY_LISTEN__TLS__MIN_VERSION: "1.3" }, "listen.tls.certFile: needed for minVersion"],
  ])("give one line per fault: %j", (env, line) => {
    expect(faultsOf(() => resolveFrom(env))).toEqual([line]);
  });

  it("name an unknown key of the third level", () => {
    expect(faultsOf(() => resolveFrom({}, { listen: { tls: { certFiles: "/a" } } }))).toEqual([
      'listen.tls.certFiles: "/a" (file): unknown key; did you mean listen.tls.certFile?',
    ]);
  });
});
