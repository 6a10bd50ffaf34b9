/** A busy Glance stays ready; one that is down, or that has stopped, does not. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, describe, it, vi } from "vitest";
import { createAuthority } from "../support/certificates.js";
import { type RunningCommand, startCommand } from "../support/cli.js";
import { createImage, OCTET_STREAM } from "../support/glance-client.js";
import { startHangingListener } from "../support/hanging-listener.js";
import { borrowGlance } from "../support/lent-glances.js";
import { startProxy, type TestProxy } from "../support/proxy.js";
import { connect, type Peer, request } from "../support/raw-http.js";
import { describeWith } from "../support/requirements.js";
import { FILE } from "./scene.js";

/** Above the second between two reports of a worker. */
const SILENCE_MS = 3_000;
const PATIENCE = { timeout: 30_000 };

vi.setConfig({ maxConcurrency: 8 }); // they wait, most of the time

/** Tests wait at once, each for a Glance and a proxy of its own; all of it ends with the file. */
const cleanUp: (() => unknown)[] = [];
afterAll(async () => {
  for (const act of cleanUp.splice(0).reverse()) await act();
});

type Proxy = Pick<TestProxy | RunningCommand, "port" | "adminPort">;

/** The command with so many workers. */
async function start(url: string, workers: number, silenceMs = SILENCE_MS): Promise<Proxy> {
  const command = await startCommand(url, {
    GLANCE_SIZE_PROXY_WORKERS: String(workers),
    GLANCE_SIZE_PROXY_READINESS__SILENCE: `${silenceMs}ms`,
  });
  cleanUp.push(() => command.stop());
  return command;
}

/** In this process. */
async function startHere(url: string, upstream = {}): Promise<Proxy> {
  const proxy = await startProxy(url, { readiness: { silence: `${SILENCE_MS}ms` }, upstream });
  cleanUp.push(() => proxy.stop());
  return proxy;
}

async function ready({ adminPort }: Proxy): Promise<readonly [status: number, answer: unknown]> {
  const answer = await request(adminPort, "GET", "/readyz");
  return [answer.status, answer.json()];
}

const ANSWERS = [200, { status: "ready", glance: "answers" }];
const SLOW = [200, { status: "ready", glance: "slow" }];
const BUSY = [200, { status: "ready", glance: "busy" }];
const SILENT = [503, { status: "glance_silent" }];
const UNREACHABLE = [503, { status: "glance_unreachable" }];

/** What `/readyz` says for that long, ten times a second: of a state that lasts, there is no event to wait for. */
async function watch(proxy: Proxy, ms: number): Promise<(readonly [number, unknown])[]> {
  const seen: (readonly [number, unknown])[] = [];
  for (const end = performance.now() + ms; performance.now() < end; await delay(100)) {
    seen.push(await ready(proxy));
  }
  return seen;
}

function distinct(seen: readonly unknown[]): unknown[] {
  return [...new Set(seen.map((one) => JSON.stringify(one)))].map((text): unknown => JSON.parse(text));
}

/** The one state among all that `upstream_state` tells, with `upstream_up`. */
async function state({ adminPort }: Proxy): Promise<string> {
  const { text } = await request(adminPort, "GET", "/metrics");
  const states = [...text.matchAll(/^glance_size_proxy_upstream_state\{state="(\w+)"\} 1$/gm)];
  const [, up] = /^glance_size_proxy_upstream_up (\d)$/m.exec(text) ?? [];
  return `${states.map(([, name]) => name).join()}, up ${up}`;
}

interface Workers {
  url: string;
  /** Targets that have come, taken or not. */
  readonly targets: string[];
  /** How many bytes of bodies the workers have read. */
  readBytes: number;
}

/** As a uWSGI with three processes: each carries one request at a time and never says `100 Continue`. Others wait. */
async function startThreeWorkers(server: Server = createServer()): Promise<Workers> {
  const waiting: (() => void)[] = [];
  let free = 3;
  const workers: Workers = { url: "", targets: [], readBytes: 0 };
  const next = (): void => {
    if (free > 0) waiting.shift()?.();
  };
  const take = (incoming: IncomingMessage, response: ServerResponse): void => {
    workers.targets.push(incoming.url ?? "");
    waiting.push(() => {
      if (incoming.socket.destroyed) return next();
      free -= 1;
      response.once("close", () => {
        free += 1;
        next();
      });
      incoming.on("data", (piece: Buffer) => (workers.readBytes += piece.length));
      incoming.once("end", () => response.writeHead(incoming.method === "PUT" ? 204 : 200).end());
    });
    next();
  };
  server.on("request", take).on("checkContinue", take).listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanUp.push(() => server.close() && server.closeAllConnections());
  const scheme = server.listenerCount("secureConnection") > 0 ? "https" : "http";
  workers.url = `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return workers;
}

interface SlowUploads {
  stall(): void;
  goOn(): void;
  /** @returns their statuses. */
  finish(): Promise<number[]>;
}

/** Uploads that send one byte every tenth of a second. Of a known size, or the proxy would collect bytes before it sends them on. */
async function uploadSlowly(port: number, targets: readonly string[]): Promise<SlowUploads> {
  const peers: Peer[] = [];
  let left = 10_000;
  for (const target of targets) {
    const peer = await connect(port);
    cleanUp.push(() => peer.destroy());
    peers.push(peer.sendHead("PUT", target, { ...OCTET_STREAM, "Content-Length": left }));
  }
  let timer: NodeJS.Timeout | undefined;
  const stall = (): void => clearInterval(timer);
  const goOn = (): void => {
    timer = setInterval(() => {
      left -= 1;
      for (const peer of peers) peer.send("x");
    }, 100);
  };
  goOn();
  cleanUp.push(stall);
  return {
    stall,
    goOn,
    finish() {
      stall();
      return Promise.all(peers.map(async (peer) => (await peer.send(Buffer.alloc(left)).response()).status));
    },
  };
}

const THREE = [FILE, FILE, FILE];

describe.concurrent.each([1, 2])("with %i worker(s)", (count) => {
  it("three slow uploads that take all of Glance's workers leave the proxy ready, for as long as they move", async ({
    expect,
  }) => {
    const glance = await startThreeWorkers();
    const proxy = await start(glance.url, count);
    await expect.poll(() => ready(proxy), PATIENCE).toEqual(ANSWERS);
    const uploads = await uploadSlowly(proxy.port, THREE);
    await expect.poll(() => glance.readBytes, PATIENCE).toBeGreaterThan(3);

    const questions = (): number => glance.targets.filter((target) => target === "/versions").length;
    const before = questions();
    const startedAt = performance.now();
    const seen = await watch(proxy, 2 * SILENCE_MS);
    expect(distinct(seen)).toEqual([BUSY]);
    expect(await state(proxy)).toBe("busy, up 1");
    // Each question takes a place in Glance's listen queue, until the next one comes or the silence is over.
    const most = 1 + (performance.now() - startedAt) / SILENCE_MS;
    expect(questions() - before).toBeLessThanOrEqual(most);

    uploads.stall();
    await expect.poll(() => ready(proxy), PATIENCE).toEqual(SILENT);
    expect(await state(proxy)).toBe("silent, up 0");
    uploads.goOn();
    await expect.poll(() => ready(proxy), PATIENCE).toEqual(BUSY);
    expect(await uploads.finish()).toEqual([204, 204, 204]);
    await expect.poll(() => ready(proxy), PATIENCE).toEqual(ANSWERS);
    expect(await state(proxy)).toBe("answers, up 1");
  });

  it("a Glance that has stopped with nothing in flight is found, and found again when it goes on", async ({
    expect,
  }) => {
    const glance = await startChildGlance();
    const proxy = await start(glance.url, count);
    await expect.poll(() => ready(proxy), PATIENCE).toEqual(ANSWERS);
    glance.child.kill("SIGSTOP");
    const stoppedAt = performance.now();
    expect(await ready(proxy)).toEqual(BUSY); // it was asked for the first time a moment ago
    await expect.poll(() => ready(proxy), PATIENCE).toEqual(SILENT);
    expect(performance.now() - stoppedAt).toBeGreaterThanOrEqual(SILENCE_MS);
    expect(await state(proxy)).toBe("silent, up 0");
    glance.child.kill("SIGCONT");
    await expect.poll(() => ready(proxy), PATIENCE).toEqual(ANSWERS);
  });

  it("a Glance that has stopped is found although clients go on to ask it, and to upload small images", async ({
    expect,
  }) => {
    const glance = await startChildGlance();
    const proxy = await start(glance.url, count);
    glance.child.kill("SIGSTOP");
    const peers: Peer[] = [];
    const asking = setInterval(() => {
      void connect(proxy.port).then((peer) => {
        peers.push(peer);
        if (peers.length % 2 === 0) peer.sendHead("GET", "/v2/images");
        else peer.sendHead("PUT", FILE, { "Content-Length": 5 }).send("hello");
      });
    }, 50);
    cleanUp.push(() => {
      clearInterval(asking);
      for (const peer of peers) peer.destroy();
    });
    await expect.poll(() => peers.length).toBeGreaterThan(4);
    await expect.poll(() => ready(proxy), PATIENCE).toEqual(SILENT);
  });

  it("a Glance that refuses connections is unreachable at once", async ({ expect }) => {
    const proxy = await start("http://127.0.0.1:1", count, 60_000);
    expect(await ready(proxy)).toEqual(UNREACHABLE);
    const answerTime = async (): Promise<number> => {
      const askedAt = performance.now();
      expect(await ready(proxy)).toEqual(UNREACHABLE);
      return performance.now() - askedAt;
    };
    await expect.poll(answerTime, PATIENCE).toBeLessThan(1_500); // sooner than a Glance that does not answer
    expect(await state(proxy)).toBe("unreachable, up 0");
  });
});

interface ChildGlance {
  readonly url: string;
  readonly child: ChildProcess;
}

/** In a process of its own, which may be stopped. */
async function startChildGlance(): Promise<ChildGlance> {
  const child = spawn(
    process.execPath,
    [
      "-e",
      `const server = require("http").createServer((request, response) => request.resume().once("end", () => response.end()));
       server.listen(0, "127.0.0.1", () => console.log(server.address().port));`,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  cleanUp.push(() => child.kill("SIGKILL"));
  const [port] = (await once(child.stdout, "data")) as [Buffer];
  return { child, url: `http://127.0.0.1:${port.toString().trim()}` };
}

/** Answers as it is told to. */
async function startServer(
  act: (response: ServerResponse, socket: Socket, target: string | undefined) => void,
): Promise<{ readonly url: string }> {
  const server = createServer((incoming, response) => act(response, incoming.socket, incoming.url));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanUp.push(() => server.close() && server.closeAllConnections());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

describe.concurrent("Glance is", () => {
  it("slow if its answer takes more than a second", async ({ expect }) => {
    // More than a second, less than the two for which a probe waits.
    const { url } = await startServer((response) => void setTimeout(() => response.end(), 1_200));
    const proxy = await startHere(url);
    await expect.poll(() => ready(proxy), PATIENCE).toEqual(SLOW);
    expect(await state(proxy)).toBe("slow, up 1");
  });

  it("unreachable if it closes connections without an answer", async ({ expect }) => {
    const { url } = await startServer((_response, socket) => void socket.destroy());
    expect(await ready(await startHere(url))).toEqual(UNREACHABLE);
  });

  it("unreachable if it answers something that is not HTTP", async ({ expect }) => {
    const { url } = await startServer((_response, socket) => void socket.end("220 mail.example\r\n"));
    expect(await ready(await startHere(url))).toEqual(UNREACHABLE);
  });

  it("unreachable if its name is unknown", async ({ expect }) => {
    expect(await ready(await startHere("http://glance.invalid"))).toEqual(UNREACHABLE);
  });

  it("unreachable if connections do not open", async ({ expect }) => {
    const listener = await startHangingListener();
    cleanUp.push(() => listener.stop());
    const proxy = await startHere(listener.url);
    expect(await ready(proxy)).toEqual(UNREACHABLE);
    expect(await ready(proxy)).toEqual(UNREACHABLE);
  });

  it("busy, not unreachable, if a router in front of it gives a question up", async ({ expect }) => {
    let questions = 0;
    const { url } = await startServer((_response, socket) => {
      questions += 1;
      setTimeout(() => socket.destroy(), 2_300); // as uWSGI's `http-timeout`
    });
    const proxy = await startHere(url);
    const seen = await watch(proxy, 1);
    while (questions < 2) seen.push(...(await watch(proxy, 100)));
    expect(seen).not.toContainEqual(UNREACHABLE);
    await expect.poll(() => ready(proxy), PATIENCE).toEqual(SILENT);
  });

  it("busy if it answers clients, although not the proxy itself", async ({ expect }) => {
    const { url } = await startServer((response, _socket, target) => {
      if (target !== "/versions") response.end();
    });
    const proxy = await startHere(url);
    const asking = setInterval(() => void request(proxy.port, "GET", "/v2/images"), 100);
    cleanUp.push(() => clearInterval(asking));
    expect(distinct(await watch(proxy, 2 * SILENCE_MS))).toEqual([BUSY]);
    clearInterval(asking);
    await expect.poll(() => ready(proxy), PATIENCE).toEqual(SILENT);
  });

  it("unreachable as soon as it is gone, although a question of before waits", async ({ expect }) => {
    const glance = await startChildGlance();
    const proxy = await startHere(glance.url);
    glance.child.kill("SIGSTOP");
    expect(await ready(proxy)).toEqual(BUSY);
    glance.child.kill("SIGKILL");
    await once(glance.child, "exit");
    await expect.poll(() => ready(proxy), PATIENCE).toEqual(UNREACHABLE);
  });
});

describe.concurrent("in front of", () => {
  describeWith(["openssl"], "a Glance behind TLS", () => {
    it("three slow uploads that take all of Glance's workers leave the proxy ready", async ({ expect }) => {
      const authority = await createAuthority();
      cleanUp.push(() => authority.remove());
      const glance = await startThreeWorkers(
        createHttpsServer(await (await authority.issue("127.0.0.1")).pem()),
      );
      const proxy = await startHere(glance.url, { tls: { caFile: authority.certFile } });
      await expect.poll(() => ready(proxy), PATIENCE).toEqual(ANSWERS);
      const uploads = await uploadSlowly(proxy.port, THREE);
      await expect.poll(() => glance.readBytes, PATIENCE).toBeGreaterThan(3);
      const seen = await watch(proxy, 2 * SILENCE_MS);
      expect(distinct(seen)).toEqual([BUSY]);
      expect(await uploads.finish()).toEqual([204, 204, 204]);
    });
  });

  describeWith(["glance-api", "uwsgi"], "a real Glance under uWSGI", () => {
    /** Of `test/support/glance-servers.ts`. */
    const THREADS = 8;

    it("stays ready while slow uploads take all of its threads", async ({ expect }) => {
      const glance = await borrowGlance("uwsgi");
      cleanUp.push(() => glance.stop());
      const proxy = await startHere(glance.url);
      const targets: string[] = [];
      while (targets.length < THREADS) targets.push(`/v2/images/${await createImage(glance.port)}/file`);
      const uploads = await uploadSlowly(proxy.port, targets);
      await expect.poll(() => state(proxy), PATIENCE).toBe("busy, up 1");
      const seen = await watch(proxy, 2 * SILENCE_MS);
      expect(distinct(seen)).toEqual([BUSY]);
      expect(await uploads.finish()).toEqual(targets.map(() => 204));
      await expect.poll(() => ready(proxy), PATIENCE).toEqual(ANSWERS);
    });
  });
});
