/** Many uploads, on the command in a process of its own: its memory stays flat. */
import { once } from "node:events";
import { type AddressInfo, connect as connectSocket, createServer, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { type RunningCommand, startCommand } from "../support/cli.js";
import { residentBytes } from "../support/process-memory.js";
import { request, requestHead } from "../support/raw-http.js";
import { startStandIn } from "../support/stand-in.js";
import { descriptors, settled } from "./account.js";
import { sendTraffic } from "./traffic.js";

const MIB = 2 ** 20;
/** `npm run soak` takes many more than the few of every run. */
const SOAK_ROUNDS = Number(process.env["SOAK_ROUNDS"] ?? 4);
const ROUND = SOAK_ROUNDS > 4 ? 1000 : 500;

const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const act of cleanUp.splice(0).reverse()) await act();
});

async function start(glanceUrl: string): Promise<RunningCommand> {
  const proxy = await startCommand(glanceUrl);
  cleanUp.push(() => proxy.stop());
  return proxy;
}

describe.runIf(process.platform === "linux")("load", () => {
  it("keeps its memory and descriptors flat over thousands of uploads", async () => {
    const glance = await startStandIn();
    cleanUp.push(() => glance.stop());
    const proxy = await start(glance.url);
    const options = { proxyPort: proxy.port, glancePort: glance.port, concurrency: 40, bodyBytes: 64 * 1024 };
    let count = 0;
    const round = async (): Promise<number> => {
      await sendTraffic({ ...options, count: ROUND });
      await settled(proxy, (count += ROUND));
      return residentBytes(proxy.pid);
    };
    // The first rounds fill caches and let the collector find its pace.
    await round();
    const descriptorsBefore = await descriptors(proxy.pid);
    const memory: number[] = [];
    while (memory.length < SOAK_ROUNDS) memory.push(await round());
    expect(Math.max(...memory) - Math.min(...memory)).toBeLessThan(48 * MIB);
    await expect.poll(() => descriptors(proxy.pid)).toBeLessThanOrEqual(descriptorsBefore + 2);
    if (SOAK_ROUNDS > 4)
      console.info(`resident after each round, MiB: ${memory.map((b) => Math.round(b / MIB)).join(" ")}`);
  }, 900_000);

  it("stays under 300 MiB with 200 uploads to a Glance that does not read", async () => {
    const sockets = new Set<Socket>();
    const glance = createServer((socket) => {
      sockets.add(socket);
      socket
        .on("error", () => undefined)
        .once("data", (head) => {
          // 100, so that the body comes, and then not another byte is read.
          if (String(head).startsWith("PUT")) socket.pause().write("HTTP/1.1 100 Continue\r\n\r\n");
          else socket.end('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"status":"queued"}');
        });
    });
    glance.listen(0, "127.0.0.1");
    await once(glance, "listening");
    cleanUp.push(() => {
      for (const socket of sockets) socket.destroy();
      glance.close();
    });
    const proxy = await start(`http://127.0.0.1:${(glance.address() as AddressInfo).port}`);
    const clients = Array.from({ length: 200 }, (_, index) => {
      const client = connectSocket(proxy.port, "127.0.0.1").on("error", () => undefined);
      client.write(requestHead("PUT", `/v2/images/${index}/file`, { "Content-Length": 1024 * MIB }));
      const piece = Buffer.alloc(MIB);
      const send = (): void => {
        while (client.write(piece));
        client.once("drain", send);
      };
      send();
      return client;
    });
    cleanUp.push(() => {
      for (const client of clients) client.destroy();
    });
    // Until nothing moves any more: every buffer on the way is full.
    let last = -1;
    await expect
      .poll(
        async () => {
          const { text } = await request(proxy.adminPort, "GET", "/uploads");
          const { inFlight } = JSON.parse(text) as { inFlight: { receivedBytes: number }[] };
          const received = inFlight.reduce((sum, upload) => sum + upload.receivedBytes, 0);
          const still = inFlight.length === 200 && received > 0 && received === last;
          last = received;
          return still;
        },
        { timeout: 60_000, interval: 500 },
      )
      .toBe(true);
    const resident = await residentBytes(proxy.pid);
    console.info(`resident: ${Math.round(resident / MIB)} MiB`);
    expect(resident).toBeLessThan(300 * MIB);
  }, 120_000);
});
