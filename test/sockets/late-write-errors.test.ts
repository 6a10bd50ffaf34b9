/** An answer that a server sends before it closes with bytes unread: the kernel resets the connection, and it can still be read. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import {
  type AddressInfo,
  connect,
  createServer,
  type ListenOptions,
  type Server,
  type Socket,
} from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { afterEach, describe, expect, it } from "vitest";
import { reportWriteErrorsLate } from "../../src/upstream/late-write-errors.js";
import { createAuthority } from "../support/certificates.js";

const ANSWER = "HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbig!";
const RUNS = 100;
const piece = Buffer.alloc(64 * 1024);

const clean: (() => void)[] = [];
afterEach(() => {
  for (const one of clean.splice(0)) one();
});

/** Answers when it has read some of the body, and closes at once. */
function refuseEarly(socket: Socket): void {
  let received = 0;
  socket.on("error", () => undefined);
  socket.on("data", (bytes) => {
    received += bytes.length;
    if (received <= 300_000 || socket.isPaused()) return;
    socket.pause();
    socket.write(ANSWER, () => socket.destroy());
  });
}

async function listen(server: Server, options: ListenOptions): Promise<void> {
  server.listen(options);
  await once(server, "listening");
  clean.push(() => server.close());
}

/** Sends a body that has no end in sight. @returns what was read of the answer. */
function upload(open: () => Socket): Promise<string> {
  return new Promise((resolve) => {
    const headers = { host: "a", "content-length": String(2 ** 30) };
    const outgoing = request({
      method: "PUT",
      headers,
      createConnection: () => reportWriteErrorsLate(open()),
    });
    let over = false;
    const end = (how: string): void => {
      if (over) return;
      over = true;
      outgoing.destroy();
      resolve(how);
    };
    outgoing.on("response", (answer) => {
      let text = "";
      answer.on("data", (bytes: Buffer) => (text += bytes.toString()));
      answer.on("end", () => end(`${answer.statusCode} ${text}`)).on("error", () => end("cut"));
    });
    outgoing.on("error", () => end("lost")).on("close", () => end("lost"));
    const send = (): void => {
      if (over) return;
      for (let count = 0; count < 8; count += 1) outgoing.write(piece);
      setImmediate(send);
    };
    send();
  });
}

async function expectRead(open: () => Socket): Promise<void> {
  const read = new Map<string, number>();
  for (let run = 0; run < RUNS; run += 1) {
    const how = await upload(open);
    read.set(how, (read.get(how) ?? 0) + 1);
  }
  expect(Object.fromEntries(read)).toEqual({ "413 big!": RUNS });
}

describe(`an early answer is read, ${RUNS} of ${RUNS} times`, () => {
  it("over TCP", async () => {
    const server = createServer(refuseEarly);
    await listen(server, { port: 0, host: "127.0.0.1" });
    const { port } = server.address() as AddressInfo;
    await expectRead(() => connect({ port, host: "127.0.0.1" }));
  });

  it("over TLS", async () => {
    const authority = await createAuthority();
    clean.push(() => void authority.remove());
    const pem = await authority.pem();
    const server = createTlsServer(pem, refuseEarly);
    await listen(server, { port: 0, host: "127.0.0.1" });
    const { port } = server.address() as AddressInfo;
    await expectRead(() => connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false }));
  });

  it("over a Unix socket", async () => {
    const directory = mkdtempSync(join(tmpdir(), "early-"));
    clean.push(() => rmSync(directory, { recursive: true }));
    const path = join(directory, "glance.sock");
    await listen(createServer(refuseEarly), { path });
    await expectRead(() => connect({ path }));
  });
});
