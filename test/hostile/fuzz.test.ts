/**
 * Heads and bodies that are made up, sent to the command over both relays, in the clear and over TLS, to one and to two workers. Behind it
 * stands a server whose parser is not Node's (h11): what it reads is exactly what was sent and decided, one request for each connection.
 * FUZZ_COUNT tells how many messages each of the eight ways carries.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import net from "node:net";
import { createInterface } from "node:readline";
import tls from "node:tls";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Authority, createAuthority } from "../support/certificates.js";
import { type RunningCommand, startCommand } from "../support/cli.js";
import { request } from "../support/raw-http.js";
import { describeWith } from "../support/requirements.js";

const COUNT = Number(process.env["FUZZ_COUNT"] ?? 300);
const TOGETHER = 64;
const DEADLINE_MS = 15_000;

interface Seen {
  readonly method: string;
  readonly target: string;
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly bytes: number;
  readonly complete: boolean;
  readonly sha256?: string;
}

interface SeenConnection {
  readonly requests: readonly Seen[];
  readonly extra: number;
  readonly fault: string | null;
}

/** Numbers that look random, the same each time for a seed (xorshift). */
function createRandom(seed: number): (below: number) => number {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

interface Message {
  readonly id: string;
  readonly isUpload: boolean;
  readonly bytes: Buffer;
  /** The body if all readers agree on it; undefined if it must not arrive whole. */
  readonly body: Buffer | undefined;
  /** Nothing ends it but the end of the connection. */
  readonly unfinished: boolean;
}

function makeMessage(random: (below: number) => number, id: string): Message {
  const pick = <T>(...from: readonly T[]): T => from[random(from.length)] as T;
  const chance = (percent: number): boolean => random(100) < percent;
  const isUpload = chance(50);
  const method = isUpload
    ? "PUT"
    : pick("GET", "GET", "GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "POST", "PATCH", "PUT");
  const target = isUpload ? `/v2/images/${id}/${pick("file", "file", "stage")}` : `/v2/fuzz/${id}`;

  const smuggled = `PUT /v2/images/smuggled-${id}/file HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nbad`;
  const inner = Buffer.from(chance(50) ? smuggled : "x".repeat(random(chance(5) ? 200_000 : 50)), "latin1");

  const noise = (): string => {
    switch (random(8)) {
      case 0:
        return `x_${random(9)}: 1`;
      case 1:
        return `X-${random(9)}:${" ".repeat(random(3))}${random(99)}`;
      case 2:
        return "a:";
      case 3:
        return `Connection: ${pick("a", "x-openstack-image-size", "content-length", "keep-alive", "transfer-encoding, host")}`;
      case 4:
        return pick(
          "Content_Length: 7",
          "Transfer_Encoding: chunked",
          "TE: trailers",
          "Via: 1.0 x",
          "Trailer: x",
        );
      case 5:
        return `Cookie: ${random(999)}=${random(999)}`;
      case 6:
        return "Accept: */*";
      default:
        return `User-Agent: \xe4${random(99)}`;
    }
  };
  const lines = Array.from({ length: chance(3) ? 900 + random(4_100) : random(10) }, noise);

  let body: Buffer | undefined = inner;
  let payload = inner;
  let unfinished = false;
  let valid = true;
  const framing: string[] = [];
  const chunk = (): Buffer => {
    const pieces: Buffer[] = [];
    for (let at = 0; at < inner.length;) {
      const size = Math.min(inner.length - at, 1 + random(chance(50) ? 10 : 70_000));
      const hex = (chance(20) ? "00" : "") + size.toString(16) + (chance(10) ? ';a="b"' : "");
      pieces.push(Buffer.from(`${hex}\r\n`), inner.subarray(at, at + size), Buffer.from("\r\n"));
      at += size;
    }
    return Buffer.concat(pieces);
  };
  switch (random(14)) {
    case 0:
    case 1: // no framing: what follows is another message, and this one has no body
      body = Buffer.alloc(0);
      payload = Buffer.alloc(0);
      break;
    case 2: // longer than what comes
      framing.push(`Content-Length: ${inner.length + 1 + random(9)}`);
      [valid, unfinished] = [false, true];
      break;
    case 3: // shorter: the rest is no part of it
      framing.push(`Content-Length: ${Math.max(inner.length - 1, 0)}`);
      body = inner.subarray(0, Math.max(inner.length - 1, 0));
      break;
    case 4:
      framing.push("Transfer-Encoding: chunked");
      payload = Buffer.concat([chunk(), Buffer.from(pick("zz\r\n", "-1\r\n", "5\nhello\n", "\r\n"))]);
      [valid, unfinished] = [false, true];
      break;
    case 5:
      framing.push("Transfer-Encoding: chunked");
      payload = Buffer.concat([chunk(), Buffer.from(pick("", "0", "0\r\n"))]);
      [valid, unfinished] = [false, true];
      break;
    case 6:
      framing.push(`Transfer-Encoding: ${pick("gzip", "identity", "gzip, chunked", "chunked, chunked", "")}`);
      [valid, unfinished] = [false, true];
      break;
    case 7:
      framing.push("Transfer-Encoding: chunked", `Content-Length: ${inner.length}`);
      [valid, unfinished] = [false, true];
      break;
    case 8:
      framing.push(
        `Content-Length: ${pick(`0${inner.length}`, `+${inner.length}`, `${inner.length},${inner.length}`, "")}`,
      );
      [valid, unfinished] = [false, true];
      break;
    case 9:
    case 10:
    case 11:
      framing.push("Transfer-Encoding: chunked");
      payload = Buffer.concat([chunk(), Buffer.from(chance(10) ? "0\r\nx: y\r\n\r\n" : "0\r\n\r\n")]);
      break;
    default:
      framing.push(`Content-Length: ${inner.length}`);
  }
  if (isUpload && chance(50)) {
    const size = body.length + (chance(30) ? 1 : 0);
    if (size !== body.length) valid = false;
    framing.push(`${pick("X-Openstack-Image-Size", "x-image-meta-size", "Upload-Length")}: ${size}`);
  }
  const at = pick(0, Math.floor(lines.length / 2), lines.length);
  lines.splice(at, 0, ...framing);
  const head = [`${method} ${target} HTTP/1.1`, "Host: a", ...lines, "", ""].join("\r\n");
  return {
    id,
    isUpload,
    bytes: Buffer.concat([Buffer.from(head, "latin1"), payload]),
    body: valid ? body : undefined,
    unfinished,
  };
}

describeWith(["h11", "openssl"], "What goes to Glance", () => {
  let upstream: ChildProcess;
  let upstreamUrl: string;
  let authority: Authority;
  let seen: SeenConnection[] = [];
  beforeAll(async () => {
    authority = await createAuthority();
    upstream = spawn("/usr/bin/python3", ["test/hostile/independent-upstream.py"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const lines = createInterface({ input: upstream.stdout as NodeJS.ReadableStream });
    const [port] = (await once(lines, "line")) as [string];
    upstreamUrl = `http://127.0.0.1:${port}`;
    lines.on("line", (line: string) => seen.push(JSON.parse(line) as SeenConnection));
  });
  afterAll(async () => {
    (upstream as ChildProcess | undefined)?.kill();
    await (authority as Authority | undefined)?.remove();
  });

  const ways = ["raw", "stream"].flatMap((relay) =>
    [false, true].flatMap((secure) => [1, 2].map((workers) => ({ relay, secure, workers }))),
  );

  it.each(ways)("matches the proxy's decision: %j", { timeout: 60_000 + COUNT * 50 }, async (way) => {
    seen = [];
    const command = await startCommand(upstreamUrl, {
      GLANCE_SIZE_PROXY_UPLOAD__RELAY: way.relay,
      GLANCE_SIZE_PROXY_WORKERS: String(way.workers),
      GLANCE_SIZE_PROXY_REPLAY__GUARD: "false",
      GLANCE_SIZE_PROXY_ROLLBACK__VERIFY: "false",
      GLANCE_SIZE_PROXY_LOG__LEVEL: "silent",
      ...(way.secure
        ? {
            GLANCE_SIZE_PROXY_LISTEN__TLS__CERT_FILE: authority.certFile,
            GLANCE_SIZE_PROXY_LISTEN__TLS__KEY_FILE: authority.keyFile,
          }
        : {}),
    });
    try {
      const sent = new Map<string, { message: Message; status: number | undefined }>();
      const seed = 1 + ways.indexOf(way) * 7_919 + Number(process.env["FUZZ_SEED"] ?? 1);
      let next = 0;
      await Promise.all(
        Array.from({ length: TOGETHER }, async () => {
          while (next < COUNT) {
            const id = `m${(next += 1)}`;
            const random = createRandom(seed * 1_000_003 + next);
            const message = makeMessage(random, id);
            const status = await send(command, way.secure, message, random);
            sent.set(id, { message, status });
          }
        }),
      );
      // Each connection tells when it is over.
      const { text } = await request(command.adminPort, "GET", "/metrics");
      const completed = [...text.matchAll(/uploads_total\{.*outcome="completed".*\} (\d+)$/gm)]
        .map(([, count]) => Number(count))
        .reduce((sum, count) => sum + count, 0);
      const uploads = (): Seen[] =>
        seen
          .flatMap(({ requests }) => requests)
          .filter(({ target, complete }) => complete && /\/(file|stage)$/.test(target));
      await expect.poll(() => uploads().length, { timeout: DEADLINE_MS }).toBe(completed);
      checkAll(sent);
    } finally {
      await command.stop();
    }
  });

  function checkAll(sent: ReadonlyMap<string, { message: Message; status: number | undefined }>): void {
    const found = new Map<string, Seen>();
    for (const connection of seen) {
      const told = JSON.stringify(connection);
      expect(connection.extra, told).toBe(0);
      expect(connection.fault, told).toBe(null);
      expect(connection.requests.length, told).toBeLessThanOrEqual(1);
      for (const request of connection.requests) {
        const id = /^\/v2\/(?:images|fuzz)\/(m\d+)/.exec(request.target)?.[1];
        if (request.target === "/versions") continue; // readiness
        const original = id === undefined ? undefined : sent.get(id);
        expect(original, told).toBeDefined();
        if (id === undefined || !original) continue;
        expect(found.has(id), told).toBe(false);
        found.set(id, request);
        if (!request.complete) continue;
        const { body } = original.message;
        expect(request.sha256, `${told}\n${original.message.bytes.toString("latin1").slice(0, 2_000)}`).toBe(
          body && createHash("sha256").update(body).digest("hex"),
        );
      }
    }
    // Enough of them are honest, or all of this says little.
    expect(found.size).toBeGreaterThan(sent.size / 3);
    for (const [id, { message, status }] of sent) {
      if (status === undefined || status >= 300) continue;
      // What a client was told to have worked is there, whole.
      expect(found.get(id)?.complete, `${status} ${message.bytes.toString("latin1").slice(0, 2_000)}`).toBe(
        true,
      );
    }
  }
});

/** Sends the message, cut anywhere. @returns the status of the first final answer; undefined if there was none. */
async function send(
  { port }: RunningCommand,
  secure: boolean,
  { bytes, unfinished }: Message,
  random: (below: number) => number,
): Promise<number | undefined> {
  const to = { port, host: "127.0.0.1", allowHalfOpen: true };
  const socket = secure
    ? tls.connect({ ...to, rejectUnauthorized: false })
    : net.connect({ ...to, noDelay: true });
  return new Promise((resolve, reject) => {
    let text = "";
    const timer = setTimeout(() => {
      reject(
        new Error(
          `no end of ${JSON.stringify(bytes.toString("latin1").slice(0, 500))}: ${JSON.stringify(text)}`,
        ),
      );
      socket.destroy();
    }, DEADLINE_MS);
    const statusIn = (): number | undefined => {
      for (const [, status] of text.matchAll(/(?:^|\r\n\r\n)HTTP\/1\.1 (\d{3}) [^]*?\r\n\r\n/g)) {
        if (status !== "100") return Number(status);
      }
      return undefined;
    };
    const end = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(statusIn());
    };
    socket.on("error", end).once("end", end).once("close", end);
    socket.on("data", (piece: Buffer) => {
      text += piece.toString("latin1");
      if (statusIn() !== undefined) end();
    });
    socket.once(secure ? "secureConnect" : "connect", () => {
      const cut = random(bytes.length + 1);
      socket.write(bytes.subarray(0, cut));
      setImmediate(() => {
        if (!socket.writable) return;
        socket.write(bytes.subarray(cut));
        if (unfinished) socket.end();
      });
    });
  });
}
