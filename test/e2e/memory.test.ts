/** Constant memory however large the image: the peak of the proxy's own process, as the kernel counts it. */
import { once } from "node:events";
import { connect as connectSocket } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RunningCommand, startCommand } from "../support/cli.js";
import { until } from "../support/glance-client.js";
import { peakBytes, residentBytes, restartPeak } from "../support/process-memory.js";
import { requestHead } from "../support/raw-http.js";
import { type RecordingUpstream, startRecordingUpstream } from "../support/recording-upstream.js";

const MIB = 2 ** 20;
/** A machine that is slow sends less: as much as takes it about so long. */
const LEAST_BYTES = 512 * MIB;
const MOST_BYTES = 4096 * MIB;
const SECONDS = 5;
const ALLOWED_BYTES = 64 * MIB;
const PIECE = Buffer.alloc(MIB);

describe.runIf(process.platform === "linux")("memory", () => {
  let upstream: RecordingUpstream;
  let proxy: RunningCommand;
  let uploadBytes: number;
  let downloadBytes: number;
  beforeAll(async () => {
    upstream = await startRecordingUpstream();
    proxy = await startCommand(upstream.url, { GLANCE_SIZE_PROXY_LOG__LEVEL: "silent" });
    // By then everything is loaded and compiled, and the heap has the size that V8 gives it.
    uploadBytes = await bytesInTime(256 * MIB, (bytes) => upload(proxy.port, bytes));
    downloadBytes = await bytesInTime(256 * MIB, downloadSlowly);
  });
  afterAll(async () => {
    await (proxy as RunningCommand | undefined)?.stop();
    await upstream.stop();
  });

  /** Peak resident bytes during `act`, above what was resident before. */
  async function growth(act: () => Promise<void>): Promise<number> {
    const before = await residentBytes(proxy.pid);
    await restartPeak(proxy.pid);
    await act();
    const grown = (await peakBytes(proxy.pid)) - before;
    console.info(`the proxy grew by ${Math.round(grown / MIB)} MiB at its peak`);
    return grown;
  }

  it("grows by less than 64 MiB during an upload of up to 4 GiB", async () => {
    const grown = await growth(() => upload(proxy.port, uploadBytes));
    expect(upstream.uploads.at(-1)).toMatchObject({ bytes: uploadBytes, complete: true });
    expect(grown).toBeLessThan(ALLOWED_BYTES);
  });

  it("grows by less than 64 MiB during a download of up to 4 GiB to a reader slower than Glance", async () => {
    const grown = await growth(() => downloadSlowly(downloadBytes));
    expect(grown).toBeLessThan(ALLOWED_BYTES);
  });

  /** By a reader who stops 16 times, each time until back-pressure has come all the way to Glance. */
  async function downloadSlowly(size: number): Promise<void> {
    let sent = 0;
    let isBlocked = false;
    upstream.onOther = (_request, response) => {
      response.writeHead(200, { "content-length": size });
      const send = (): void => {
        while (sent < size) {
          sent += PIECE.length;
          isBlocked = !response.write(PIECE);
          if (isBlocked) return void response.once("drain", send);
        }
        response.end();
      };
      send();
    };
    let last = -1;
    const isStuck = (): Promise<boolean> => {
      const stuck = isBlocked && sent === last;
      last = sent;
      return Promise.resolve(stuck || sent === size);
    };
    const socket = connectSocket(proxy.port, "127.0.0.1");
    socket.write(requestHead("GET", "/v2/images/one/file", { Connection: "close" }));
    let bytes = 0;
    let pauses = 0;
    socket.on("data", (piece: Buffer) => {
      bytes += piece.length;
      if (bytes < (pauses * size) / 16) return;
      pauses += 1;
      socket.pause();
      void until(isStuck, (stuck) => stuck).then(() => socket.resume());
    });
    await once(socket, "end");
    expect(bytes).toBeGreaterThan(size);
    expect(pauses).toBeGreaterThanOrEqual(16);
  }
});

/** Tries `act` with a few bytes, and says with how many it would take `SECONDS`: whole MiB. */
async function bytesInTime(tryBytes: number, act: (bytes: number) => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await act(tryBytes);
  const perSecond = tryBytes / ((performance.now() - startedAt) / 1000);
  const bytes = Math.min(Math.max(perSecond * SECONDS, LEAST_BYTES), MOST_BYTES);
  return Math.floor(bytes / MIB) * MIB;
}

async function upload(port: number, bytes: number): Promise<void> {
  const socket = connectSocket(port, "127.0.0.1");
  socket.write(requestHead("PUT", "/v2/images/one/file", { "Content-Length": bytes, Connection: "close" }));
  const answered = once(socket, "data") as Promise<[Buffer]>;
  for (let left = bytes; left > 0; left -= PIECE.length) {
    if (!socket.write(PIECE)) await once(socket, "drain");
  }
  expect(String((await answered)[0])).toMatch(/^HTTP\/1.1 204 /);
  socket.destroy();
}
