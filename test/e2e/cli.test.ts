/** The command as it is built: what it says, with which code it ends, and how it goes down. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { version } from "../../src/vocabulary/version.js";
import { type RunningCommand, startCommand } from "../support/cli.js";
import { pretendNode } from "../support/pretended-node.js";
import { connect, request } from "../support/raw-http.js";
import { FILE, SIZE, useScene } from "./scene.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const UPSTREAM = "http://127.0.0.1:1";
/** Nothing of this process's environment that could configure the proxy. */
const ENVIRONMENT = { PATH: process.env["PATH"] ?? "" };

const files = mkdtempSync(join(tmpdir(), "glance-size-proxy-"));
afterAll(() => {
  rmSync(files, { recursive: true });
});

/** Runs the command until it ends by itself. */
function run(args: readonly string[], env: Record<string, string> = {}) {
  return spawnSync(process.execPath, ["dist/cli.js", ...args], {
    cwd: ROOT,
    encoding: "utf8",
    timeout: 20_000,
    env: { ...ENVIRONMENT, ...env },
  });
}

function file(text: string): string {
  const path = join(files, "proxy.yaml");
  writeFileSync(path, text);
  return path;
}

describe("the command", () => {
  it("--version prints the version", () => {
    expect(run(["--version"])).toMatchObject({ status: 0, stdout: `${version}\n`, stderr: "" });
  });

  it("--help names every flag, and the environment", () => {
    const { status, stdout } = run(["--help"]);
    expect(status).toBe(0);
    for (const word of [
      "--upstream",
      "--listen",
      "--admin-listen",
      "--config",
      "--check-config",
      "--version",
      "demo",
      "GLANCE_SIZE_PROXY_",
    ]) {
      expect(stdout).toContain(word);
    }
  });

  it("-h is --help", () => {
    expect(run(["-h"])).toMatchObject({ status: 0, stdout: run(["--help"]).stdout, stderr: "" });
  });

  it("--check-config prints the effective values: flag before environment before file before default", () => {
    const path = file(
      "upstream: { url: http://of-the-file }\nlimits: { maxImageSize: 1GiB }\nsize: { unknown: reject }\n",
    );
    const { status, stdout, stderr } = run(
      ["--check-config", "--config", path, "--upstream", "http://of-the-flag:1"],
      { GLANCE_SIZE_PROXY_UPSTREAM: "http://of-the-environment", GLANCE_SIZE_PROXY_SIZE__UNKNOWN: "forward" },
    );
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toContain("url: http://of-the-flag:1\n");
    expect(stdout).toContain("unknown: forward\n");
    expect(stdout).toContain("maxImageSize: 1GiB\n");
    expect(stdout).toContain("idleTimeout: 1m\n");
  });
});

describe("the command exits with code 2 and one line for each fault:", () => {
  it("no upstream", () => {
    const { status, stderr, stdout } = run([]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr.trimEnd().split("\n")).toEqual([expect.stringMatching(/^upstream\.url.*--upstream/)]);
  });

  it("several faults at once, each with key and value", () => {
    const path = file("sise: {}\nlimits: { maxImageSize: lots }\nsize: { unknown: guess }\n");
    const { status, stderr } = run(["--config", path, "--upstream", "glance:9292", "--listen", "nowhere"]);
    expect(status).toBe(2);
    const lines = stderr.trimEnd().split("\n");
    expect(lines).toHaveLength(5);
    for (const [key, value] of [
      ["sise", ""],
      ["limits.maxImageSize", "lots"],
      ["size.unknown", "guess"],
      ["upstream.url", "glance:9292"],
      ["listen.address", "nowhere"],
    ] as const) {
      expect(lines).toContainEqual(
        expect.stringMatching(new RegExp(`^${key.replace(".", "\\.")}.*${value}`)),
      );
    }
  });

  it.each([
    ["an unknown flag", ["--upstream", UPSTREAM, "--nonsense", "x"]],
    ["an argument too many", ["--upstream", UPSTREAM, "extra"]],
    ["a file that is not there", ["--upstream", UPSTREAM, "--config", "/nowhere/proxy.yaml"]],
    [
      "a file for the process id that cannot be written",
      [
        ...["--upstream", UPSTREAM, "--pid-file", "/nowhere/pid"],
        ...["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"],
      ],
    ],
  ])("%s", (_, args) => {
    const { status, stderr } = run(args);
    expect(status).toBe(2);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });

  it("suggests the flag that was meant, on the same line", () => {
    const { status, stderr } = run(["--upstrem", UPSTREAM]);
    expect(status).toBe(2);
    expect(stderr).toBe("error: unknown option '--upstrem' (Did you mean --upstream?)\n");
  });

  describe("a port in use", () => {
    let taken: Server;
    let address: string;
    beforeAll(async () => {
      taken = createServer().listen(0, "127.0.0.1");
      await once(taken, "listening");
      address = `127.0.0.1:${(taken.address() as AddressInfo).port}`;
    });
    afterAll(() => {
      taken.close();
    });

    it.each([
      ["listen.address", "--listen", "--admin-listen"],
      ["admin.address", "--admin-listen", "--listen"],
    ])("%s", (key, flag, other) => {
      const { status, stderr, stdout } = run(["--upstream", UPSTREAM, flag, address, other, "127.0.0.1:0"]);
      expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
      expect(stderr.trimEnd().split("\n")).toEqual([
        expect.stringContaining(`${key}: cannot listen on ${address}`),
      ]);
    });
  });
});

describe.each([1, 2])("a running proxy with workers: %i", (workers) => {
  const scene = useScene();
  const running: RunningCommand[] = [];
  afterEach(async () => {
    await Promise.all(running.splice(0).map((command) => command.stop()));
  });

  async function start(env: Record<string, string> = {}): Promise<RunningCommand> {
    const command = await startCommand(scene.upstream.url, {
      ...env,
      GLANCE_SIZE_PROXY_WORKERS: String(workers),
    });
    running.push(command);
    return command;
  }
  const ended = async (child: ChildProcess) =>
    (await once(child, "exit")) as [code: number | null, signal: string | null];
  const messages = ({ lines }: RunningCommand) =>
    lines.map((line) => (JSON.parse(line) as { msg: string }).msg);

  it("logs its addresses in one JSON line, and serves them by then", async () => {
    const command = await start();
    expect(command.lines).toHaveLength(1);
    expect(JSON.parse(command.lines[0] ?? "")).toMatchObject({
      msg: "listening",
      listen: `http://127.0.0.1:${command.port}`,
      admin: `http://127.0.0.1:${command.adminPort}`,
    });
    expect((await fetch(`http://127.0.0.1:${command.port}/v2/images`)).status).toBe(200);
    expect((await fetch(`http://127.0.0.1:${command.adminPort}/readyz`)).status).toBe(200);
  });

  it("logs its addresses even if log.level is silent", async () => {
    const command = await start({ GLANCE_SIZE_PROXY_LOG__LEVEL: "silent" });
    await fetch(`http://127.0.0.1:${command.port}${FILE}`, { method: "PUT", body: "hello" });
    expect(messages(command)).toEqual(["listening"]);
  });

  it.each(["SIGTERM", "SIGINT"] as const)(
    "lets an upload in flight finish on %s, then ends with 0",
    async (signal) => {
      const command = await start();
      const peer = await scene.startUpload({ [SIZE]: 5 }, FILE, command.port);
      peer.sendChunk("hel");
      const upload = await scene.uploadUpstream();
      const exit = ended(command.child);
      command.child.kill(signal);
      await expect
        .poll(async () => (await fetch(`http://127.0.0.1:${command.adminPort}/readyz`)).status)
        .toBe(503);
      const refused = async () => {
        const late = await connect(command.port).catch(() => undefined);
        late?.destroy();
        return late === undefined;
      };
      await expect.poll(refused).toBe(true);
      peer.sendChunk("lo").endChunks();
      expect((await peer.response()).status).toBe(204);
      expect(await exit).toEqual([0, null]);
      expect(upload).toMatchObject({ bytes: 5, complete: true });
      expect(messages(command)).toEqual(["listening", "draining", "upload", "drained"]);
    },
  );

  it("ends at once on a second signal, and what was in flight is never completed", async () => {
    const command = await start();
    const peer = await scene.startUpload({ [SIZE]: 5 }, FILE, command.port);
    peer.sendChunk("hell");
    const upload = await scene.uploadUpstream();
    await expect.poll(() => upload.bytes).toBe(4);
    const exit = ended(command.child);
    command.child.kill("SIGTERM");
    await expect.poll(() => messages(command)).toContain("draining");
    command.child.kill("SIGTERM");
    expect(await exit).toEqual([1, null]);
    await upload.over;
    expect(upload.complete).toBe(false);
  });

  it("exits after shutdown.drainTimeout, and cuts the uploads in flight", async () => {
    const command = await start({ GLANCE_SIZE_PROXY_SHUTDOWN__DRAIN_TIMEOUT: "200ms" });
    const peer = await scene.startUpload({ [SIZE]: 5 }, FILE, command.port);
    peer.sendChunk("hell");
    const upload = await scene.uploadUpstream();
    const exit = ended(command.child);
    command.child.kill("SIGTERM");
    expect(await exit).toEqual([0, null]);
    await upload.over;
    expect(upload.complete).toBe(false);
  });

  it("exits at once on SIGTERM if nothing is in flight", async () => {
    const command = await start();
    const exit = ended(command.child);
    command.child.kill("SIGTERM");
    expect(await exit).toEqual([0, null]);
  });
});

describe.each([1, 2])("with workers: %i, on a Node", (workers) => {
  const running: ChildProcess[] = [];
  afterEach(() => {
    for (const child of running.splice(0)) child.kill("SIGKILL");
  });

  /** What is logged from the start to the end. */
  async function logOn(version: string): Promise<Record<string, unknown>[]> {
    const addresses = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    const child = spawn(process.execPath, ["dist/cli.js", "--upstream", UPSTREAM, ...addresses], {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "inherit"],
      env: {
        ...ENVIRONMENT,
        ...pretendNode(version),
        GLANCE_SIZE_PROXY_WORKERS: String(workers),
      },
    });
    running.push(child);
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (piece: string) => (text += piece));
    await expect.poll(() => text).toContain("listening");
    const closed = once(child, "close");
    child.kill("SIGTERM");
    await closed;
    return text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  it("without a security fix, logs once which Node to install, after the listening line", async () => {
    const [listening, advice, ...others] = await logOn("v24.18.0");
    expect(listening?.["msg"]).toBe("listening");
    expect(advice).toMatchObject({
      level: "warn",
      msg: "install a Node with security fixes",
      node: "v24.18.0",
      reason: "Node 24.18.0 lacks the fix for CVE-2026-58044",
      install: "Node 24.18.1 or a later 24",
    });
    expect(others.map(({ msg }) => msg)).toEqual(["draining", "drained"]);
  });

  it("with all security fixes, logs no such line", async () => {
    expect((await logOn("v99.0.0")).map(({ msg }) => msg)).toEqual(["listening", "draining", "drained"]);
  });
});

it("the command needs no terminal and no standard input", async () => {
  const child = spawn(process.execPath, ["dist/cli.js", "--version"], {
    cwd: ROOT,
    stdio: ["ignore", "ignore", "ignore"],
  });
  expect(await once(child, "exit")).toEqual([0, null]);
});

describe("standard error of the command", () => {
  const scene = useScene();

  it("stays empty while requests are passed through", async () => {
    const path = join(files, "stderr");
    const command = await startCommand(scene.upstream.url, {}, [
      "/bin/sh",
      "-c",
      `exec "$@" 2>${path}`,
      "sh",
    ]);
    expect((await request(command.port, "GET", "/v2/images")).status).toBe(200);
    await command.stop();
    expect(readFileSync(path, "utf8")).toBe("");
  });
});
