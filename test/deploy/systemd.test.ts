/** The unit: read by systemd itself, rated by it, and its filter of system calls held against those that are made. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { loadConfig } from "../../src/config/load.js";
import { startCommand } from "../support/cli.js";
import { freePort } from "../support/free-port.js";
import { createImage, putImageData, untilStatus } from "../support/glance-client.js";
import { request } from "../support/raw-http.js";
import { describeWith } from "../support/requirements.js";
import { run } from "../support/run.js";
import { startStandIn } from "../support/stand-in.js";

const UNIT = "deploy/systemd/glance-size-proxy.service";
const unit = readFileSync(UNIT, "utf8");

/** The values of a key, in order. */
function values(key: string): string[] {
  return [...unit.matchAll(new RegExp(`^${key}=(.*)$`, "gm"))].map(([, value = ""]) => value);
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "systemd-"));
  execFileSync(process.execPath, ["scripts/prepare.mjs"], { stdio: "ignore" });
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

it("the unit reloads, drains without a limit, and does not restart on exit code 2", () => {
  // Of the main process alone systemd heeds RestartPreventExitStatus.
  expect(values("ExecStartPre")).toEqual([]);
  expect(values("ExecReload")).toEqual(["/bin/kill -HUP $MAINPID"]);
  expect(values("TimeoutStopSec")).toEqual(["infinity"]);
  // After an upgrade, systemd finds the new main process in the file that the command writes.
  const [pidFile = ""] = values("PIDFile");
  expect(values("ExecStart")).toEqual([expect.stringContaining(` --pid-file ${pidFile}`)]);
  expect(values("RuntimeDirectory").map((name) => `/run/${name}/pid`)).toEqual([pidFile]);
  expect(values("RestartPreventExitStatus")).toEqual(["2"]);
});

it("the example configuration and environment are valid", () => {
  const environment = readFileSync("deploy/systemd/environment", "utf8").matchAll(/^(\w+)=(.*)$/gm);
  const { config } = loadConfig({
    flags: { config: "deploy/systemd/config.yaml" },
    env: Object.fromEntries([...environment].map(([, name = "", value = ""]) => [name, value])),
    readFile: (path) => readFileSync(path, "utf8"),
  });
  expect(config.upstream.url.host).toBe("127.0.0.1:19292");
  expect(config.limits.maxConcurrentUploads).toBe(200);
  expect([config.spool.dir]).toEqual(values("CacheDirectory").map((name) => `/var/cache/${name}`));
});

describeWith(["systemd"], "systemd-analyze", () => {
  it("finds nothing wrong with the unit", async () => {
    // The command is looked for on this machine; here it stands in for one that is installed.
    const command = join(folder, "glance-size-proxy");
    writeFileSync(command, "#!/bin/sh\n", { mode: 0o755 });
    const copy = join(folder, "glance-size-proxy.service");
    writeFileSync(copy, unit.replaceAll("=glance-size-proxy ", `=${command} `));
    const result = await run("/usr/bin/systemd-analyze", ["verify", copy]);
    expect(result).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  it("rates the exposure of the unit as low", async () => {
    const args = ["security", "--offline=true", "--threshold=12", UNIT]; // tenths of its scale of 10
    const { code, stdout } = await run("/usr/bin/systemd-analyze", args);
    expect([code, stdout]).toEqual([0, expect.stringMatching(/Overall exposure level.*: 1\.[012] OK/)]);
  });
});

describeWith(["systemd"], "systemd's socket activation", () => {
  it.each([1, 2])("hands its socket to the proxy, with workers: %i", async (workers) => {
    const glance = await startStandIn();
    const port = await freePort();
    const elsewhere = await freePort();
    const command = [process.execPath, "dist/cli.js", "--upstream", glance.url];
    const addresses = ["--listen", `127.0.0.1:${elsewhere}`, "--admin-listen", "127.0.0.1:0"];
    const activate = [`--listen=127.0.0.1:${port}`, "--fdname=listen"];
    const env = [`--setenv=GLANCE_SIZE_PROXY_WORKERS=${workers}`];
    const child = spawn("/usr/bin/systemd-socket-activate", [...activate, ...env, ...command, ...addresses]);
    try {
      let output = "";
      child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
      await once(child.stderr, "data"); // it listens, and starts the proxy with the first connection
      const id = await createImage(port);
      expect((await putImageData(port, id, "hello")).status).toBe(204);
      // A worker may answer before the process above it has logged.
      await expect.poll(() => output).toContain(`"listen":"http://127.0.0.1:${port}"`);
    } finally {
      const exited = once(child, "exit");
      child.kill("SIGTERM");
      await exited;
      await glance.stop();
    }
  });
});

/** The system calls of a filter as the unit writes it, its groups taken apart by systemd. */
async function systemCalls(filter: string): Promise<Set<string>> {
  const names = new Set<string>();
  for (const name of filter.split(" ")) {
    if (!name.startsWith("@")) {
      names.add(name);
      continue;
    }
    const { stdout } = await run("/usr/bin/systemd-analyze", ["syscall-filter", name]);
    const members = stdout.split("\n").filter((line) => /^\s+@?[\w-]+$/.test(line));
    for (const call of await systemCalls(members.map((line) => line.trim()).join(" "))) names.add(call);
  }
  return names;
}

describeWith(["systemd", "strace"], "the system call filters of the unit", () => {
  it("allow every system call that the proxy makes", async () => {
    const [allow = "", deny = ""] = values("SystemCallFilter");
    expect(deny).toMatch(/^~/);
    const allowed = await systemCalls(allow);
    for (const call of await systemCalls(deny.slice(1))) allowed.delete(call);

    const record = join(folder, "strace");
    const glance = await startStandIn();
    const proxy = await startCommand(
      glance.url,
      {
        GLANCE_SIZE_PROXY_WORKERS: "2",
        GLANCE_SIZE_PROXY_SIZE__UNKNOWN: "spool",
        GLANCE_SIZE_PROXY_SPOOL__MEMORY: "16",
        GLANCE_SIZE_PROXY_SPOOL__DIR: folder,
      },
      // As a grandchild, the tracer leaves the process id to the proxy; it writes its summary after the proxy's end.
      [
        "/usr/bin/strace",
        "--daemonize",
        "--follow-forks",
        "--summary-only",
        "--summary-columns=name",
        "--output",
        record,
      ],
    );
    try {
      const known = await createImage(proxy.port);
      expect((await putImageData(proxy.port, known, "hello")).status).toBe(204);
      const unknown = await createImage(proxy.port);
      const answer = await request(proxy.port, "PUT", `/v2/images/${unknown}/file`, {
        headers: { "Content-Type": "application/octet-stream", "Transfer-Encoding": "chunked" },
        body: `40\r\n${"x".repeat(64)}\r\n0\r\n\r\n`,
      });
      expect(answer.status).toBe(204);
      expect(await untilStatus(proxy.port, unknown, "active")).toMatchObject({ size: 64 });
      expect((await request(proxy.adminPort, "GET", "/metrics")).status).toBe(200);
      proxy.child.kill("SIGHUP");
      proxy.child.kill("SIGTERM");
      await expect.poll(() => existsSync(record) && readFileSync(record, "utf8")).toMatch(/total/);
    } finally {
      await proxy.stop();
      await glance.stop();
    }
    const made = readFileSync(record, "utf8")
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => /^\w+$/.test(line) && line !== "syscall" && line !== "total");
    expect(made).toEqual(expect.arrayContaining(["accept4", "connect", "unlink"]));
    expect(made.filter((call) => !allowed.has(call))).toEqual([]);
  });
});
