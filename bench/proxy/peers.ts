/** The proxies that are compared, each with one worker, plain HTTP, nothing logged. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { startCommand } from "../../test/support/cli.js";
import { isProvided } from "../../test/support/requirements.js";
import { run } from "../../test/support/run.js";
import { startConfigured } from "../configured.js";
import { nginxVersion, startNginx } from "../nginx.js";
import { firstLine } from "./traffic.js";
import type { Workload } from "./workloads.js";

export interface Running {
  readonly pid: number;
  readonly port: number;
  stop(): Promise<void>;
}

export interface Peer {
  readonly name: string;
  /** Default: every workload. */
  serves?(workload: Workload): boolean;
  start(upstreamUrl: string): Promise<Running>;
}

export interface Candidate extends Peer {
  /** Undefined where it is not installed. */
  readonly version: string | undefined;
}

export const OURS = "this proxy";
export const NGINX_1M = "nginx, 1 MiB buffers";
export const HAPROXY = "HAProxy";
export const BARE = "bare http-proxy";

/** The first one is of uploads, the others of downloads. */
const MIB_BUFFERS = [
  "client_body_buffer_size 1m",
  "proxy_buffering off",
  "proxy_buffer_size 1m",
  "proxy_buffers 2 1m",
  "proxy_busy_buffers_size 1m",
];

export async function findPeers(): Promise<Candidate[]> {
  const nginx = isProvided("nginx") ? await nginxVersion() : undefined;
  const version = (await run(process.execPath, ["dist/cli.js", "--version"])).stdout.trim();
  const unbuffered = "proxy_request_buffering off";
  return [
    {
      name: "nginx as shipped",
      version: nginx,
      start: (upstreamUrl) => startNginx(upstreamUrl, [unbuffered]),
    },
    {
      name: NGINX_1M,
      version: nginx,
      start: (upstreamUrl) => startNginx(upstreamUrl, [unbuffered, ...MIB_BUFFERS]),
    },
    {
      name: HAPROXY,
      version: isProvided("haproxy") ? await haproxyVersion() : undefined,
      start: startHaproxy,
    },
    { name: BARE, version: `on Node ${process.versions.node}`, start: startBare },
    { name: OURS, version, start: (upstreamUrl) => startOurs(upstreamUrl) },
    {
      name: `${OURS}, 2 workers`,
      version,
      serves: ({ load }) => load.kind === "stream" && load.streams === 8 && load.each === 1,
      start: (upstreamUrl) => startOurs(upstreamUrl, { GLANCE_SIZE_PROXY_WORKERS: "2" }),
    },
  ];
}

function startOurs(upstreamUrl: string, env: Record<string, string> = {}): Promise<Running> {
  return startCommand(upstreamUrl, { GLANCE_SIZE_PROXY_LOG__LEVEL: "warn", ...env });
}

async function startBare(upstreamUrl: string): Promise<Running> {
  const child = spawn(process.execPath, ["build/bench/proxy/bare-http-proxy.js", upstreamUrl], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  const port = Number(await firstLine(child));
  return {
    pid: child.pid ?? 0,
    port,
    async stop() {
      child.kill();
      await exited;
    },
  };
}

const HAPROXY_PROGRAM = "/usr/sbin/haproxy";

function startHaproxy(upstreamUrl: string): Promise<Running> {
  return startConfigured(
    HAPROXY_PROGRAM,
    (configFile) => ["-db", "-q", "-f", configFile],
    (port) => `global
  nbthread 1
  maxconn 2000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen bench
  bind 127.0.0.1:${port}
  server glance ${new URL(upstreamUrl).host}
`,
  );
}

async function haproxyVersion(): Promise<string> {
  const { stdout } = await run(HAPROXY_PROGRAM, ["-v"]);
  return /version (\S+)/.exec(stdout)?.[1] ?? "of an unknown version";
}
