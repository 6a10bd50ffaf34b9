/** The npm package as its users get it: packed, installed into an empty folder, run, imported, compiled against. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { version } from "../../src/vocabulary/version.js";
import { createImage } from "../support/glance-client.js";
import type { Glance } from "../support/real-glance.js";
import { type CommandResult, run } from "../support/run.js";
import { startStandIn } from "../support/stand-in.js";

const manifest = JSON.parse(readFileSync("package.json", "utf8")) as {
  devDependencies: Record<string, string>;
};
const folder = mkdtempSync(join(tmpdir(), "npm-package-"));
const consumer = join(folder, "consumer");
let contents: string[];
let glance: Glance;

/** Versions as this project has them, so that what `npm ci` has fetched will do. */
function asHere(...names: string[]): string[] {
  return names.map((name) => `${name}@${manifest.devDependencies[name]}`);
}

/** In the folder of somebody who has installed the package, with this test's Node in front. */
function inConsumer(...command: [string, ...string[]]): Promise<CommandResult> {
  const path = `${join(process.execPath, "..")}:/usr/bin:/bin`;
  return run("/usr/bin/env", command, {
    cwd: consumer,
    env: { PATH: path, HOME: process.env["HOME"] ?? folder, npm_config_prefer_offline: "true" },
    timeoutMs: 120_000,
  });
}

/** Prints what is wrong, then every file that was looked at. */
function compile(...files: string[]): Promise<CommandResult> {
  const options = ["--strict", "--exactOptionalPropertyTypes", "--types", "node", "--noEmit", "--listFiles"];
  const language = ["--target", "es2023", "--lib", "es2023", "--module", "nodenext"];
  return inConsumer("node", "node_modules/typescript/bin/tsc", ...options, ...language, ...files);
}

beforeAll(async () => {
  execFileSync(process.execPath, ["scripts/prepare.mjs"], { stdio: "ignore" });
  const packed = execFileSync("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", folder], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [{ filename, files }] = JSON.parse(packed) as [{ filename: string; files: { path: string }[] }];
  contents = files.map(({ path }) => path);
  execFileSync("mkdir", [consumer]);
  writeFileSync(join(consumer, "package.json"), '{ "type": "module", "private": true }');
  const { code, stderr } = await inConsumer(
    ...["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", join(folder, filename)],
    ...asHere("typescript", "@types/node", "@types/express"),
  );
  if (code !== 0) throw new Error(stderr);
  glance = await startStandIn();
}, 180_000);
afterAll(async () => {
  await glance.stop();
  rmSync(folder, { recursive: true, force: true });
});

it("the npm package contains the built files and documents, and nothing else", () => {
  for (const path of ["dist/cli.js", "dist/index.d.ts", "config/default.yaml", "LICENSE", "README.md"]) {
    expect(contents).toContain(path);
  }
  const expected = /^(dist|config|deploy|docs)\/|^(package\.json|LICENSE|README\.md|CHANGELOG\.md)$/;
  expect(contents.filter((path) => !expected.test(path) || /buildinfo|\.map$/.test(path))).toEqual([]);
  for (const path of contents.filter((one) => /\.(js|ts)$/.test(one))) {
    expect([path, /sourceMappingURL/.test(readFileSync(path, "utf8"))]).toEqual([path, false]);
  }
});

describe("the command of the npm package", () => {
  it("prints its version", async () => {
    expect(await inConsumer("npx", "glance-size-proxy", "--version")).toMatchObject({
      code: 0,
      stdout: `${version}\n`,
    });
  });

  it("runs the demo", async () => {
    const { code, stdout } = await inConsumer("npx", "glance-size-proxy", "demo", "--once");
    expect(code).toBe(0);
    expect(stdout).toContain("Size exceeds");
  });
});

/** Uploads "hello" announced as `size` bytes through the middleware, and prints the status. */
const middleware = (id: string, size: number) => `
  import { createServer } from "node:http";
  import { createGlanceSizeProxy } from "glance-size-proxy";
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const proxy = createGlanceSizeProxy({ upstream: { url: ${JSON.stringify(glance.url)} } }, { log });
  const server = createServer(proxy);
  server.listen(0, "127.0.0.1", async () => {
    const answer = await fetch("http://127.0.0.1:" + server.address().port + "/v2/images/${id}/file", {
      method: "PUT",
      headers: { "content-type": "application/octet-stream", "x-openstack-image-size": "${size}" },
      duplex: "half",
      body: new ReadableStream({ start(body) { body.enqueue(Buffer.from("hello")); body.close(); } }),
    });
    console.log(answer.status);
    server.close();
    server.closeAllConnections();
  });`;

it.each([
  ["takes an upload of the size it announces", 5, "204"],
  ["refuses one of another size", 4, "400"],
])("the middleware %s", async (_, size, status) => {
  writeFileSync(join(consumer, "middleware.mjs"), middleware(await createImage(glance.port), size));
  expect(await inConsumer("node", "middleware.mjs")).toEqual({ code: 0, stdout: `${status}\n`, stderr: "" });
});

describe("the types of the npm package, without skipLibCheck,", () => {
  const onNodesServer = `
    import { createServer } from "node:http";
    import { ConfigError, createGlanceSizeProxy, version, type ConfigInput } from "glance-size-proxy";
    const config: ConfigInput = { upstream: { url: "http://127.0.0.1" }, size: { unknown: "spool" } };
    const proxy = createGlanceSizeProxy(config);
    createServer(proxy);
    const ids: string[] = proxy.uploads().inFlight.map(({ imageId }) => imageId);
    const metrics: Promise<string> = proxy.registry.metrics();
    // @ts-expect-error a key that there is not
    createGlanceSizeProxy({ upstream: { url: "http://127.0.0.1" }, size: { unknwon: "spool" } });
    export { ConfigError, ids, metrics, version };`;
  const asServer = `
    import { createServer, type Log, type ProxyServer } from "glance-size-proxy";
    declare const log: Log;
    const server: ProxyServer = createServer({ upstream: { url: "http://127.0.0.1" } }, { log });
    const { listen, admin }: { listen: string; admin: string } = await server.start();
    await server.drain(1000);
    export { admin, listen };`;
  const onExpress = `
    import express from "express";
    import { createGlanceSizeProxy } from "glance-size-proxy";
    express().use(createGlanceSizeProxy({ upstream: { url: "http://127.0.0.1" } }));
    express().use("/image", createGlanceSizeProxy({ upstream: { url: "http://127.0.0.1" } }));`;

  it("need only Node's types", async () => {
    writeFileSync(join(consumer, "on-nodes-server.ts"), onNodesServer);
    writeFileSync(join(consumer, "as-server.ts"), asServer);
    const { code, stdout } = await compile("on-nodes-server.ts", "as-server.ts");
    expect([code, stdout]).toEqual([0, expect.stringContaining("glance-size-proxy/dist/index.d.ts")]);
    expect(stdout.match(/@types\/(?!node\/).*/g)).toBe(null);
  });

  it("match Express's types", async () => {
    writeFileSync(join(consumer, "on-express.ts"), onExpress);
    const { code, stdout } = await compile("on-express.ts");
    expect([code, stdout]).toEqual([0, expect.stringContaining("@types/express/index.d.ts")]);
  });
});
