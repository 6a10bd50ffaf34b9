/** What each combination of faults runs in, and what holds at the end of every one of them. */
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { startProxy, type TestProxy, type TestProxyConfig } from "../support/proxy.js";
import { connect, type Peer, request } from "../support/raw-http.js";
import type { ClientUpload } from "./client-upload.js";
import { eventually } from "./eventually.js";
import { type ProcessWatch, watchProcess } from "./process-watch.js";
import { type ScriptedGlance, startScriptedGlance } from "./scripted-glance.js";

const DRIBBLED_BYTES = 8;

/** Short, so that whatever is bounded ends within a test; longer than a busy machine keeps this process from running. */
export const SHORT: TestProxyConfig = {
  upstream: { connectTimeout: "1s", responseTimeout: "2s" },
  limits: { idleTimeout: "2s" },
  rollback: { timeout: "2s", interval: "20ms" },
};

/** A proxy with a Glance of its own behind it; one combination at a time has it. */
export interface FaultScene {
  readonly proxy: TestProxy;
  readonly glance: ScriptedGlance;
  /** Closed when the combination is over. */
  connect(): Promise<Peer>;
  /** Throws unless the proxy closes its connections to Glance and, with `both`, to its clients. */
  expectConnectionsEnded(side: "glance" | "both"): Promise<void>;
  /** Throws unless the proxy notices that its clients have gone. */
  expectClientsGone(): Promise<void>;
  close(): Promise<void>;
}

export interface SettledUpload {
  readonly upload: ClientUpload;
  readonly imageId: string;
  readonly operation: string;
  /** Any one of them. */
  readonly outcomes: readonly string[];
  readonly sizeSource: string;
}

export interface FaultScenes {
  /** Runs one combination. */
  run(act: (scene: FaultScene) => Promise<void>): Promise<void>;
  /** As `run`, for a combination in which one upload ends. Checks that it does so exactly once, and leaves nothing. */
  runUpload(act: (scene: FaultScene) => Promise<SettledUpload>): Promise<void>;
  /** Of the whole process: only if no other combination is running. */
  nothingLeft(deadlineMs?: number): Promise<void>;
  /** Makes that the last test of the file. */
  expectNothingLeft(): void;
}

export interface FaultScenesOptions {
  /** A Glance other than the scripted one. */
  readonly upstreamUrl?: () => Promise<string>;
  /** Default: short timeouts. */
  readonly config?: TestProxyConfig;
  /** How many combinations run at once. They wait, most of the time. */
  readonly together?: number;
}

/** Call it at the top of a file; `expectNothingLeft` at its end. */
export function useFaultScenes({
  upstreamUrl,
  config = SHORT,
  together = 16,
}: FaultScenesOptions = {}): FaultScenes {
  const idle: FaultScene[] = [];
  const all: FaultScene[] = [];
  let watch: ProcessWatch;
  vi.setConfig({ maxConcurrency: together });

  async function open(): Promise<FaultScene> {
    const glance = await startScriptedGlance();
    const proxy = await startProxy((await upstreamUrl?.()) ?? glance.url, config);
    const peers: Peer[] = [];
    const scene: FaultScene = {
      proxy,
      glance,
      async connect() {
        const peer = await connect(proxy.port);
        peers.push(peer);
        return peer;
      },
      async expectConnectionsEnded(side) {
        await eventually(
          () => watch.openSockets("remotePort", glance.port) === 0,
          "the proxy to end its connections to Glance",
        );
        if (side === "glance") return;
        for (const peer of peers.splice(0)) peer.destroy();
        await scene.expectClientsGone();
      },
      async expectClientsGone() {
        await eventually(
          () => watch.openSockets("localPort", proxy.port) === 0,
          "the proxy to end its clients' connections",
        );
      },
      async close() {
        for (const peer of peers.splice(0)) peer.destroy();
        proxy.stop();
        await glance.stop();
      },
    };
    all.push(scene);
    return scene;
  }

  async function run(act: (scene: FaultScene) => Promise<void>): Promise<void> {
    const scene = idle.pop() ?? (await open());
    try {
      await act(scene);
      await scene.expectConnectionsEnded("both");
      await scene.glance.readToTheEnd();
      idle.push(scene);
    } catch (error) {
      // Not used again: what is left in it would make others fail.
      await scene.close();
      throw error;
    }
  }

  beforeAll(async () => {
    await upstreamUrl?.();
    const sockets = countSockets();
    // The first request of a process opens and loads what later ones find.
    const first = await open();
    await request(first.proxy.port, "PUT", "/v2/images/warm-up/file", { body: "hello" });
    await request(first.proxy.adminPort, "GET", "/metrics");
    await eventually(() => countSockets() === sockets, "the first sockets to close");
    watch = watchProcess();
    idle.push(first);
  });
  afterAll(async () => {
    for (const scene of all) await scene.close();
  });

  return {
    run,
    runUpload: (act) =>
      run(async (scene) => {
        const before = await readSamples(scene);
        const settled = await act(scene);
        const { imageId, operation, outcomes, sizeSource } = settled;
        const lines = (): Record<string, unknown>[] =>
          scene.proxy.logged.filter((line) => line["msg"] === "upload" && line["imageId"] === imageId);
        await eventually(() => lines().length > 0, "the upload to settle");
        await scene.expectConnectionsEnded("both");
        await scene.glance.readToTheEnd();
        const after = await readSamples(scene);

        expect(lines()).toHaveLength(1);
        const [outcome] = lines().map((line) => String(line["outcome"]));
        expect(outcomes).toContain(outcome);
        const label = `uploads_total{operation="${operation}",outcome="${outcome}",size_source="${sizeSource}"}`;
        expect(increase("uploads_total", before, after)).toBe(1);
        expect(after.get(label) ?? 0).toBe((before.get(label) ?? 0) + 1);
        expect(after.get(`uploads_in_flight{operation="${operation}"}`)).toBe(0);
        expectNoPartialUpload(scene, settled);
      }),
    nothingLeft: (deadlineMs) => watch.expectNothingLeft(deadlineMs),
    expectNothingLeft() {
      it("after all these faults no socket, timer or uncaught error is left", async () => {
        await watch.expectNothingLeft();
      });
    },
  };
}

function countSockets(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === "TCPSocketWrap").length;
}

/** Glance has a whole upload only if the client has sent a whole one. */
function expectNoPartialUpload({ glance }: FaultScene, { upload }: SettledUpload): void {
  const uploads = glance.connections.filter(({ received }) => received.head?.startsWith("PUT "));
  expect(uploads.length).toBeLessThanOrEqual(1);
  for (const { received } of uploads) {
    expect(received.bodyBytes).toBeLessThanOrEqual(upload.options.size);
    if (received.complete) {
      expect(upload.whole).toBe(true);
      expect(received.bodyBytes).toBe(upload.options.size);
    }
  }
}

/** Samples of `/metrics`, by their name without the prefix, with their labels. */
export type Samples = ReadonlyMap<string, number>;

/** Ends the script: each scrape asks Glance whether it is there. */
export async function readSamples({ proxy, glance }: FaultScene): Promise<Samples> {
  glance.rest();
  const { text } = await request(proxy.adminPort, "GET", "/metrics");
  return new Map(
    [...text.matchAll(/^glance_size_proxy_(\w+\{.*\}) ([\d.e+-]+)$/gm)].map(([, sample = "", value]) => [
      sample,
      Number(value),
    ]),
  );
}

/** How many more of a metric there are, over all of its labels. */
export function increase(name: string, before: Samples, after: Samples): number {
  const sum = (samples: Samples): number =>
    [...samples].reduce((total, [sample, value]) => total + (sample.startsWith(`${name}{`) ? value : 0), 0);
  return sum(after) - sum(before);
}

/** Sends the end byte by byte, with pauses far below any timeout. */
export async function dribble(peer: Peer, bytes: string): Promise<void> {
  peer.send(bytes.slice(0, -DRIBBLED_BYTES));
  for (const byte of bytes.slice(-DRIBBLED_BYTES)) {
    await delay(10);
    peer.send(byte);
  }
}
