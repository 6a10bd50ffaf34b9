/** Constant memory however large the image: the peak of the proxy's own process, as the kernel counts it. */
import { once } from "node:events";
import { connect as connectSocket } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startCommand, type RunningCommand } from "../support/cli.js";
import { peakBytes, residentBytes, restartPeak } from "../support/process-memory.js";
import { requestHead } from "../support/raw-http.js";
import { startRecordingUpstream, type RecordingUpstream } from "../support/recording-upstream.js";

const MIB = 2 ** 20;
const IMAGE_BYTES = 4096 * MIB;
const ALLOWED_BYTES = 64 * MIB;
const PIECE = Buffer.alloc(MIB);

// How much garbage lies about depends on when the collector gets to run: a busy machine may have another try. What is
// kept would be kept each time.
describe.runIf(process.platform === "linux")("memory", { retry: 2 }, () => {
  let upstream: RecordingUpstream;
  let proxy: RunningCommand;
  beforeAll(async () => {
    upstream = await startRecordingUpstream();
    proxy = await startCommand(upstream.url, { GLANCE_SIZE_PROXY_LOG__LEVEL: "silent" });
    await upload(proxy.port, 64 * MIB); // everything that is loaded or compiled once is so now
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

  it("grows by less than 64 MiB during an upload of 4 GiB", async () => {
    const grown = await growth(() => upload(proxy.port, IMAGE_BYTES));
    expect(upstream.uploads.at(-1)).toMatchObject({ bytes: IMAGE_BYTES, complete: true });
    expect(grown).toBeLessThan(ALLOWED_BYTES);
  });

  it("grows by less than 64 MiB during a download of 4 GiB to a reader slower than Glance", async () => {
    let sent = 0;
    let blocked = false;
    let pauses = 0;
    upstream.onOther = (_request, response) => {
      response.writeHead(200, { "content-length": IMAGE_BYTES });
      let left = IMAGE_BYTES / MIB;
      const send = (): void => {
        while (left > 0) {
          left -= 1;
          sent += 1;
          blocked = !response.write(PIECE);
          if (blocked) {
            response.once("drain", send);
            return;
          }
        }
        response.end();
      };
      send();
    };
    const grown = await growth(async () => {
      const socket = connectSocket(proxy.port, "127.0.0.1");
      socket.write(requestHead("GET", "/v2/images/one/file", { Connection: "close" }));
      let bytes = 0;
      let stopAt = 0;
      socket.on("data", (piece: Buffer) => {
        bytes += piece.length;
        if (bytes < stopAt) return;
        stopAt += IMAGE_BYTES / 16;
        pauses += 1;
        socket.pause();
        // Reads on once back-pressure has come all the way to Glance: it is blocked, and gets nothing off its hands.
        let last = -1;
        const isStuck = (): boolean => {
          const stuck = blocked && sent === last;
          last = sent;
          return stuck || sent === IMAGE_BYTES / MIB;
        };
        void expect
          .poll(isStuck, { timeout: 10_000, interval: 20 })
          .toBe(true)
          .then(() => socket.resume());
      });
      await once(socket, "end");
      expect(bytes).toBeGreaterThan(IMAGE_BYTES);
    });
    expect(pauses).toBeGreaterThanOrEqual(16);
    expect(grown).toBeLessThan(ALLOWED_BYTES);
  });
});

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
