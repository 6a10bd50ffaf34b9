/**
 * Memory of ended requests is free at once, without a full garbage collection: V8 says of each collection of young memory how much of it
 * survived. Not on Node 24 and later: Node 24 itself keeps a part of each connection, and Node 26 describes its collections differently.
 */
import { afterEach, describe, expect, it } from "vitest";
import { type RunningCommand, startCommand } from "../support/cli.js";
import { OCTET_STREAM } from "../support/glance-client.js";
import { request } from "../support/raw-http.js";
import { type RecordingUpstream, startRecordingUpstream } from "../support/recording-upstream.js";

/** Requests until little of what is allocated is compiled code and its feedback. */
const WARM_UP = 1_500;
const COUNT = 2_500;
const AT_ONCE = 8;
/** One connection that is kept is a sixth of what a request allocates. */
const MOST_PROMOTED = 0.06;

const FILE = "/v2/images/one/file";

let upstream: RecordingUpstream | undefined;
let proxy: RunningCommand | undefined;
afterEach(async () => {
  await proxy?.stop();
  await upstream?.stop();
});

describe.runIf(Number.parseInt(process.versions.node) < 24)("of requests that have ended", () => {
  it.each([
    [
      "uploads",
      (port: number) =>
        request(port, "PUT", FILE, {
          headers: { ...OCTET_STREAM, "Content-Length": 5, Connection: "close" },
          body: "hello",
        }),
    ],
    ["downloads", (port: number) => request(port, "GET", FILE, { headers: { Connection: "close" } })],
  ])("%s leave nothing behind", async (_, act) => {
    upstream = await startRecordingUpstream();
    upstream.onOther = (_request, response) => response.writeHead(200, { "content-length": 5 }).end("hello");
    const env = { GLANCE_SIZE_PROXY_LOG__LEVEL: "error" };
    const running = (proxy = await startCommand(upstream.url, env, [], [], ["--trace-gc-nvp"]));
    const send = (count: number): Promise<void[]> => {
      const runs = Array(count).keys();
      const work = async (): Promise<void> => {
        for (const run of runs) expect((await act(running.port)).status, `request ${run}`).toBeLessThan(300);
      };
      return Promise.all(Array.from({ length: AT_ONCE }, work));
    };
    await send(WARM_UP);
    const before = collections(running).length;
    await send(COUNT);
    const seen = collections(running).slice(before);
    expect(seen.length).toBeGreaterThan(5);
    const sum = (field: "promoted" | "allocated"): number => seen.reduce((all, one) => all + one[field], 0);
    const promoted = sum("promoted") / sum("allocated");
    console.info(`${seen.length} collections`, promoted);
    expect(promoted).toBeLessThan(MOST_PROMOTED);
  });
});

/** The collections of young memory so far. */
function collections({ lines }: RunningCommand): { promoted: number; allocated: number }[] {
  return lines
    .filter((line) => line.includes(" gc=s "))
    .map((line) => ({ promoted: bytesOf(line, "promoted"), allocated: bytesOf(line, "allocated") }));
}

function bytesOf(line: string, field: string): number {
  return Number(new RegExp(` ${field}=(\\d+) `).exec(line)?.[1]);
}
