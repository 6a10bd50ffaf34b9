/** A legacy Glance on S3, and every way to it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startCommand } from "../../test/support/cli.js";
import { isProvided } from "../../test/support/provided.js";
import { startRealGlance } from "../../test/support/real-glance.js";
import { startNginx } from "../nginx.js";
import { onlyChild } from "../process.js";
import type { Way } from "./cells.js";
import { startS3 } from "./s3.js";

/** What stands between the client and Glance. */
export interface Proxy {
  readonly pid: number;
  readonly port: number;
  /** Where it keeps bodies. */
  readonly directory: string;
}

export interface Scene {
  readonly glance: {
    readonly port: number;
    /** The process that carries uploads. */
    readonly pid: number;
  };
  readonly s3: { readonly pid: number };
  /** Not those that are not installed. */
  readonly proxies: ReadonlyMap<Way, Proxy>;
  stop(): Promise<void>;
}

export async function startScene(): Promise<Scene> {
  const stops: (() => Promise<void>)[] = [];
  const stop = async (): Promise<void> => {
    for (const each of stops.splice(0).reverse()) await each();
  };
  const onSignal = (): void => void stop().finally(() => process.exit(2));
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.once(signal, onSignal);
    stops.push(() => Promise.resolve(void process.off(signal, onSignal)));
  }
  try {
    const directory = await mkdtemp(join(tmpdir(), "bench-glance-"));
    stops.push(() => rm(directory, { recursive: true, force: true }));
    const s3 = await startS3();
    stops.push(() => s3.stop());
    const glance = await startRealGlance({ server: "eventlet", store: s3.store });
    stops.push(() => glance.stop());

    const proxies = new Map<Way, Proxy>();
    for (const [way, unknown] of [
      ["proxy", "forward"],
      ["proxy, spool", "spool"],
    ] as const) {
      const proxy = await startCommand(glance.url, {
        GLANCE_SIZE_PROXY_LOG__LEVEL: "error",
        GLANCE_SIZE_PROXY_SIZE__UNKNOWN: unknown,
        GLANCE_SIZE_PROXY_SPOOL__DIR: directory,
      });
      stops.push(() => proxy.stop());
      proxies.set(way, { ...proxy, directory });
    }
    if (isProvided("nginx")) {
      const nginx = await startNginx(glance.url, [
        "proxy_request_buffering on",
        "client_body_buffer_size 1m", // as much memory as the spool has
        "proxy_read_timeout 600s",
      ]);
      stops.push(() => nginx.stop());
      proxies.set("nginx, buffering", nginx);
    }
    return { glance: { port: glance.port, pid: await onlyChild(glance.pid) }, s3, proxies, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
