/** hooks.url: a receiver is told of each upload that has ended. One that fails or hangs is in nobody's way. */
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Webhook } from "standardwebhooks";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type HookBody, hookSchema } from "../../src/hooks/hook-schema.js";
import { startCommand } from "../support/cli.js";
import type { TestProxy } from "../support/proxy.js";
import { request } from "../support/raw-http.js";
import { FILE, SIZE, useScene } from "./scene.js";

const SECRET = `whsec_${Buffer.alloc(32, "a").toString("base64")}`;
const NEW_SECRET = `whsec_${Buffer.alloc(32, "b").toString("base64")}`;

interface Received {
  readonly headers: Record<string, string>;
  readonly text: string;
  readonly body: HookBody;
}

const scene = useScene();
const answered = (status: number) => (_: Received, response: ServerResponse) =>
  void response.writeHead(status, { location: "/elsewhere" }).end();

let directory: string;
let secretFile: string;
let url: string;
let received: Received[] = [];
let answer: (hook: Received, response: ServerResponse) => void;
let receiver: ReturnType<typeof createServer>;

beforeEach(async () => {
  received = [];
  answer = answered(204);
  receiver = createServer((incoming: IncomingMessage, response) => {
    let text = "";
    incoming.setEncoding("utf8").on("data", (piece: string) => (text += piece));
    incoming.once("end", () => {
      const body = hookSchema.parse(JSON.parse(text));
      const hook = { headers: incoming.headers as Record<string, string>, text, body };
      received.push(hook);
      answer(hook, response);
    });
  });
  receiver.listen(0, "127.0.0.1");
  await once(receiver, "listening");
  url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/secret-path`;
  directory = await mkdtemp(join(tmpdir(), "hooks-"));
  secretFile = join(directory, "secret");
  await writeFile(secretFile, `${SECRET}\n`);
});
afterEach(async () => {
  receiver.closeAllConnections();
  receiver.close();
  await rm(directory, { recursive: true });
});

type HooksConfig = Parameters<typeof scene.startAnother>[0]["hooks"];

function start(hooks: HooksConfig = {}): Promise<TestProxy> {
  return scene.startAnother({ hooks: { url, secretFile, backoff: "1ms", ...hooks } });
}

async function upload({ port }: { readonly port: number }): Promise<void> {
  expect((await request(port, "PUT", FILE, { body: "hello" })).status).toBe(204);
}

function counted(proxy: TestProxy, result: string): Promise<number> {
  return proxy.metric(`hooks_total{result="${result}"}`);
}

const isSignedWith = (secret: string, { text, headers }: Received): boolean => {
  try {
    new Webhook(secret).verify(text, headers);
    return true;
  } catch {
    return false;
  }
};

describe("each upload that has ended is delivered", () => {
  it("as /uploads shows it, and signed", async () => {
    const proxy = await start();
    await upload(proxy);
    const refused = await request(proxy.port, "PUT", FILE, { headers: { [SIZE]: "abc" }, body: "hello" });
    expect(refused.status).toBe(400);
    await expect.poll(() => received.length).toBe(2);
    const { finished } = await proxy.uploads();
    expect(received.map(({ body }) => body.data).reverse()).toEqual(finished);
    for (const hook of received) {
      expect(hook.headers).toMatchObject({ "content-type": "application/json" });
      expect(isSignedWith(SECRET, hook)).toBe(true);
      expect(isSignedWith(NEW_SECRET, hook)).toBe(false);
    }
    expect(new Set(received.map(({ headers }) => headers["webhook-id"])).size).toBe(2);
    await expect.poll(() => counted(proxy, "delivered")).toBe(2);
    expect(await proxy.metric("hooks_queued")).toBe(0);
  });

  it("with a second signature while a secret is replaced, and SIGHUP reads the file again", async () => {
    const proxy = await start();
    await writeFile(secretFile, `${NEW_SECRET}\n${SECRET}\n`);
    await proxy.reload();
    await upload(proxy);
    await writeFile(secretFile, "not a secret");
    await proxy.reload(); // keeps both
    await upload(proxy);
    await expect.poll(() => received.length).toBe(2);
    for (const hook of received) {
      expect(isSignedWith(SECRET, hook)).toBe(true);
      expect(isSignedWith(NEW_SECRET, hook)).toBe(true);
    }
    const faults = proxy.logged.filter(({ level }) => level === "error");
    expect(JSON.stringify(faults)).toContain("hooks.secretFile");
    expect(JSON.stringify(faults)).not.toContain("not a secret");
  });

  it.each(["1", "2"])("with %s workers, also if its worker dies", async (workers) => {
    const command = await startCommand(scene.upstream.url, {
      GLANCE_SIZE_PROXY_WORKERS: workers,
      GLANCE_SIZE_PROXY_HOOKS__URL: url,
      GLANCE_SIZE_PROXY_HOOKS__SECRET_FILE: secretFile,
    });
    try {
      await upload(command);
      await upload(command);
      await expect.poll(() => received.length).toBe(2);
      if (workers === "1") return;
      const peer = await scene.startUpload({}, FILE, command.port);
      peer.sendChunk("hel");
      await expect.poll(async () => (await command.uploads()).inFlight.length).toBe(1);
      const children = await readFile(`/proc/${command.pid}/task/${command.pid}/children`, "utf8");
      for (const pid of children.trim().split(" ")) process.kill(Number(pid), "SIGKILL");
      await expect.poll(() => received.length).toBe(3);
      expect(received[2]?.body.data).toMatchObject({ outcome: "upstream_error" });
    } finally {
      await command.stop();
    }
  });
});

describe("a receiver", () => {
  it("that fails for a moment gets the same message again", async () => {
    const statuses = [503, 429, 200];
    answer = (hook, response) => answered(statuses.shift() ?? 500)(hook, response);
    const proxy = await start();
    await upload(proxy);
    await expect.poll(() => counted(proxy, "delivered")).toBe(1);
    expect(received).toHaveLength(3);
    expect(new Set(received.map(({ text }) => text)).size).toBe(1);
    expect(new Set(received.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    expect(received.every((hook) => isSignedWith(SECRET, hook))).toBe(true);
    expect(await counted(proxy, "retried")).toBe(2);
  });

  it.each([
    ["that goes on failing", 500, 3],
    ["that refuses", 404, 1],
    ["that redirects", 307, 1],
  ])("%s gets a message a bounded number of times", async (_, status, tries) => {
    answer = answered(status);
    const proxy = await start({ tries: 3 });
    await upload(proxy);
    await expect.poll(() => counted(proxy, "failed")).toBe(1);
    expect(received).toHaveLength(tries);
    const line = proxy.logged.find(({ msg }) => msg === "hook not delivered");
    expect(line).toMatchObject({ tries, reason: `answered ${status}`, imageId: "one" });
  });

  it("that is not there is in nobody's way, and the log does not tell its path or the secret", async () => {
    receiver.close();
    const proxy = await start({ tries: 2 });
    await upload(proxy);
    await expect.poll(() => counted(proxy, "failed")).toBe(1);
    const text = JSON.stringify(proxy.logged);
    expect(text).toContain("ECONNREFUSED");
    expect(text).not.toContain("secret-path");
    expect(text).not.toContain(SECRET.slice(6));
  });

  it("that hangs is given up, and holds up no upload", async () => {
    answer = () => undefined;
    const proxy = await start({ tries: 2, timeout: "50ms" });
    await upload(proxy);
    await upload(proxy);
    await expect.poll(() => counted(proxy, "failed")).toBe(2);
    const line = proxy.logged.find(({ msg }) => msg === "hook not delivered");
    expect(line).toMatchObject({ reason: "no answer within 50 ms" });
  });

  it("that hangs cannot fill the memory: the oldest messages are dropped", async () => {
    answer = () => undefined;
    const proxy = await start({ queue: 2, timeout: "1m" });
    for (let count = 0; count < 10; count += 1) await upload(proxy);
    expect(await counted(proxy, "dropped")).toBe(4); // four are being delivered
    expect(await proxy.metric("hooks_queued")).toBe(6);
    expect(proxy.logged.filter(({ msg }) => String(msg).startsWith("hooks.queue is full"))).toHaveLength(1);
  });
});

describe("a drain", () => {
  it("waits for a receiver that answers", async () => {
    const answers: (() => void)[] = [];
    answer = (hook, response) => void answers.push(() => answered(204)(hook, response));
    const proxy = await start();
    await upload(proxy);
    await expect.poll(() => answers.length).toBe(1);
    const drained = proxy.drain();
    answers[0]?.();
    await drained;
    expect(proxy.logged.filter(({ level }) => level === "warn")).toEqual([]);
  });

  it("does not wait without end for one that hangs", async () => {
    answer = () => undefined;
    const proxy = await start({ timeout: "1h" });
    await upload(proxy);
    await expect.poll(() => received.length).toBe(1);
    await proxy.drain();
    expect(proxy.logged).toContainEqual(
      expect.objectContaining({ msg: "hooks not delivered before the end", hooks: 1 }),
    );
  });
});
