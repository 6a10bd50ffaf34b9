/** Where the log goes. If nobody reads it the proxy goes on: lines are dropped and counted, and the log says so once it is read again. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { readAdmin } from "../support/admin.js";
import { freePort } from "../support/free-port.js";
import { type ReadCommand, startReadCommand } from "../support/log-reader.js";
import { NEW_NODE } from "../support/pretended-node.js";
import { residentBytes } from "../support/process-memory.js";
import { type Peer, request } from "../support/raw-http.js";
import { describeWith } from "../support/requirements.js";
import { run } from "../support/run.js";
import { SIZE, useScene } from "./scene.js";

const KIB = 1024;
const MIB = KIB * KIB;
/** Half as much again as fits into a pipe and the proxy's memory, at 1.5 KiB a line. */
const MANY = 1200;
/** More than a pipe or a socket takes, and not more than the proxy's memory. */
const SOME = 250;

const scene = useScene();
const running: ReadCommand[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((command) => command.stop()));
});

/** Each is refused, and logged with more of the client's own text than a line has room for. The first has as much as a head takes. */
async function sendUploads(port: number, count: number): Promise<void> {
  const send = async (peer: Peer, length: number): Promise<void> => {
    const headers = { "Content-Length": 0, [SIZE]: '"'.repeat(400), "User-Agent": 'u"'.repeat(length / 2) };
    peer.sendHead("PUT", `/v2/images/${"i".repeat(length)}/file`, headers);
    expect((await peer.response()).status).toBe(400);
  };
  const sendInTurn = async (): Promise<void> => {
    const peer = await scene.connect(port);
    while ((count -= 1) >= 0) await send(peer, 400);
    peer.destroy();
  };
  await send(await scene.connect(port), 25_000);
  count -= 1;
  await Promise.all(Array.from({ length: 8 }, sendInTurn));
}

const uploadsIn = ({ lines }: ReadCommand): number => lines.filter(({ msg }) => msg === "upload").length;
const droppedIn = ({ lines }: ReadCommand): number =>
  lines
    .filter(({ msg }) => msg === "log lines were dropped")
    .reduce((sum, { dropped }) => sum + Number(dropped), 0);

describe.each([
  ["pipe", 1],
  ["pipe", 2],
  ["socket", 1],
  ["socket", 2],
] as const)("standard output is a %s, workers: %i", (output, workers) => {
  async function start(): Promise<ReadCommand> {
    const env = { GLANCE_SIZE_PROXY_WORKERS: String(workers) };
    const command = await startReadCommand(output, scene.upstream.url, env);
    running.push(command);
    return command;
  }

  it("nobody reads it: the proxy goes on, and what was lost is told once it is read again", async () => {
    const command = await start();
    command.stopReading();
    await sendUploads(command.port, MANY);
    await expect.poll(() => command.metric("log_lines_dropped_total")).toBeGreaterThan(MANY / 5);
    const dropped = await command.metric("log_lines_dropped_total");
    expect(await residentBytes(command.pid)).toBeLessThan(400 * MIB);

    command.goOnReading();
    await expect.poll(() => uploadsIn(command) + droppedIn(command)).toBe(MANY);
    await sendUploads(command.port, 1);
    await expect.poll(() => uploadsIn(command)).toBe(MANY - dropped + 1);
    expect(droppedIn(command)).toBe(dropped);
    expect(command.lines.filter(({ msg }) => msg === "log lines were dropped")).toEqual([
      {
        level: "warn",
        time: expect.any(String) as string,
        dropped,
        reason: "standard output was not read in time",
        msg: "log lines were dropped",
      },
    ]);
    expect(command.lines[0]?.["msg"]).toBe("listening");
    for (const line of command.raw) expect(Buffer.byteLength(line)).toBeLessThanOrEqual(4096);
    // What waited: in the proxy's memory, and in the kernel.
    expect(command.raw.join("").length).toBeLessThan(2 * MIB);

    const exited = once(command.child, "exit");
    command.child.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
    await expect.poll(() => command.lines.at(-1)?.["msg"]).toBe("drained");
  });

  it("a slow reader gets every line, in order, before the proxy has ended", async () => {
    const command = await start();
    command.stopReading();
    await sendUploads(command.port, SOME);
    command.child.kill("SIGTERM");
    command.goOnReading();
    expect(await once(command.child, "exit")).toEqual([0, null]);
    await expect.poll(() => command.lines.at(-1)?.["msg"]).toBe("drained");
    expect(uploadsIn(command)).toBe(SOME);
    expect(droppedIn(command)).toBe(0);
    // Of one process in order; workers have lines of their own.
    expect(command.lines.map(({ msg }) => msg).filter((msg) => msg !== "upload")).toEqual([
      "listening",
      "draining",
      "drained",
    ]);
  });

  it("nobody reads it at the end: SIGTERM ends the proxy all the same", async () => {
    const command = await start();
    command.stopReading();
    await sendUploads(command.port, SOME);
    const exited = once(command.child, "exit");
    command.child.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
  });

  it("its reader is gone: the proxy continues and counts the dropped lines", async () => {
    const command = await start();
    command.leave();
    await sendUploads(command.port, 20);
    await expect.poll(() => command.metric("log_lines_dropped_total")).toBe(20);
    const exited = once(command.child, "exit");
    command.child.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
  });
});

it("what a worker writes to standard error arrives", async () => {
  const addresses = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
  const child = spawn(process.execPath, ["dist/cli.js", "--upstream", scene.upstream.url, ...addresses], {
    stdio: ["ignore", "pipe", "pipe"],
    // Each process says how it ended.
    env: { ...process.env, GLANCE_SIZE_PROXY_WORKERS: "2", NODE_OPTIONS: "--trace-exit" },
  });
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  let log = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (log += text));
  await expect.poll(() => log).toContain('"listening"');
  const closed = once(child, "close");
  child.kill("SIGTERM");
  await closed;
  const exits = errors.match(/^\(node:\d+\) WARNING: Exited the environment with code 0$/gm) ?? [];
  expect(new Set(exits).size).toBe(3);
});

describe("standard output is a file", () => {
  const directory = mkdtempSync(join(tmpdir(), "log-output-"));
  afterAll(() => {
    rmSync(directory, { recursive: true });
  });

  async function start(path: string): Promise<{ child: ChildProcess; port: number; adminPort: number }> {
    const [port, adminPort] = [await freePort(), await freePort()];
    const addresses = ["--listen", `127.0.0.1:${port}`, "--admin-listen", `127.0.0.1:${adminPort}`];
    const child = spawn(process.execPath, ["dist/cli.js", "--upstream", scene.upstream.url, ...addresses], {
      stdio: ["ignore", openSync(path, "a"), "inherit"],
      env: { ...process.env, ...NEW_NODE },
    });
    children.push(child);
    await expect.poll(() => request(adminPort, "GET", "/readyz").catch(() => undefined)).toBeDefined();
    return { child, port, adminPort };
  }
  const children: ChildProcess[] = [];
  afterEach(() => {
    for (const child of children.splice(0)) child.kill("SIGKILL");
  });

  async function end(child: ChildProcess): Promise<void> {
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
  }

  it("the file has every line, in order", async () => {
    const path = join(directory, "log");
    const { child, port } = await start(path);
    await sendUploads(port, 20);
    await end(child);
    const lines = readFileSync(path, "utf8").trimEnd().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual([
      ...["listening", ...Array<string>(20).fill("upload")],
      ...["draining", "drained"],
    ]);
  });

  it("on a full disk: the proxy continues and counts the dropped lines", async () => {
    const { child, port, adminPort } = await start("/dev/full");
    await sendUploads(port, 20);
    const admin = readAdmin(adminPort);
    await expect.poll(() => admin.metric("log_lines_dropped_total")).toBe(21); // `listening` is one
    await end(child);
  });
});

describeWith(["script"], "the log on a terminal", () => {
  it("is readable text; into a pipe it is JSON", async () => {
    const program =
      'import("./dist/observe/log.js").then(({ createLog }) => createLog("info").info({ a: 1 }, "hello"))';
    const command = `'${process.execPath}' -e '${program}'`;
    const terminal = await run("/usr/bin/script", ["-qec", command, "/dev/null"], { cwd: process.cwd() });
    expect(terminal.stdout).toMatch(/^\d\d:\d\d:\d\d\.\d{3} INFO {2}hello {2}a=1\r\n$/);
    const pipe = await run(process.execPath, ["-e", program], { cwd: process.cwd() });
    expect(JSON.parse(pipe.stdout)).toMatchObject({ level: "info", msg: "hello", a: 1 });
  });
});

describeWith(["script"], "standard output is a terminal", () => {
  it("that is stopped: the process continues", async () => {
    // `script` copies what the terminal is sent into its own output, and does not read on while that is full.
    const directory = mkdtempSync(join(tmpdir(), "log-output-"));
    const marker = join(directory, "dropped");
    const program = `import("./dist/observe/log-output.js").then(({ createLogOutput }) => {
      const output = createLogOutput();
      for (let count = 0; count < 20000; count += 1) output.write(JSON.stringify({ msg: "a".repeat(100) }) + String.fromCharCode(10));
      process.getBuiltinModule("fs").writeFileSync("${marker}", String(output.dropped));
    })`;
    const command = `'${process.execPath}' -e '${program}'`;
    const child = spawn("/usr/bin/script", ["-qec", command, "/dev/null"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      child.stdout.pause();
      const dropped = (): number => (existsSync(marker) ? Number(readFileSync(marker, "utf8")) : 0);
      await expect.poll(dropped).toBeGreaterThan(1000);
    } finally {
      child.stdout.destroy();
      child.kill("SIGKILL");
      rmSync(directory, { recursive: true });
    }
  });
});
