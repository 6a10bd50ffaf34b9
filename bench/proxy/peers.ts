/** The proxies that are compared, each with one worker and nothing logged. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Certificate } from "../../test/support/certificates.js";
import { startCommand } from "../../test/support/cli.js";
import { isProvided } from "../../test/support/requirements.js";
import { run } from "../../test/support/run.js";
import { nginxVersion, startNginx } from "../nginx.js";
import { haproxyVersion, startHaproxy } from "./haproxy.js";
import { firstLine } from "./traffic.js";
import type { Workload } from "./workloads.js";

export interface Running {
  readonly pid: number;
  readonly port: number;
  stop(): Promise<void>;
}

/** Where a proxy stands. */
export interface Site {
  readonly upstreamUrl: string;
  /** CA bundle that verifies Glance's certificate. */
  readonly caFile: string;
  /** For clients; undefined if they do not use TLS. */
  readonly clientTls: Certificate | undefined;
}

export interface Peer {
  readonly name: string;
  /** Undefined if it is not installed. */
  readonly version: string | undefined;
  /** Default: every workload. */
  serves?(workload: Workload): boolean;
  start(site: Site): Promise<Running>;
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

export async function findPeers(): Promise<Peer[]> {
  const nginx = isProvided("nginx") ? await nginxVersion() : undefined;
  const version = (await run(process.execPath, ["dist/cli.js", "--version"])).stdout.trim();
  const nginxWith =
    (...directives: string[]) =>
    ({ upstreamUrl, clientTls }: Site): Promise<Running> =>
      startNginx(
        upstreamUrl,
        ["proxy_request_buffering off", "proxy_ssl_protocols TLSv1.3", ...directives],
        clientTls,
      );
  return [
    { name: "nginx as shipped", version: nginx, start: nginxWith() },
    { name: NGINX_1M, version: nginx, start: nginxWith(...MIB_BUFFERS) },
    {
      name: HAPROXY,
      version: isProvided("haproxy") ? await haproxyVersion() : undefined,
      start: startHaproxy,
    },
    { name: BARE, version: `on Node ${process.versions.node}`, start: startBare },
    { name: OURS, version, start: (site) => startOurs(site) },
    {
      name: `${OURS}, 2 workers`,
      version,
      serves: ({ load }) => load.kind === "stream" && load.streams === 8 && load.each === 1,
      start: (site) => startOurs(site, { WORKERS: "2" }),
    },
  ];
}

/** @param settings by the names of their environment variables. */
function startOurs(
  { upstreamUrl, caFile, clientTls }: Site,
  settings: Record<string, string> = {},
): Promise<Running> {
  const all = {
    LOG__LEVEL: "warn",
    UPSTREAM__TLS__CA_FILE: upstreamUrl.startsWith("https:") ? caFile : undefined,
    LISTEN__TLS__CERT_FILE: clientTls?.certFile,
    LISTEN__TLS__KEY_FILE: clientTls?.keyFile,
    ...settings,
  };
  const set = Object.entries(all).flatMap(([name, value]) =>
    value === undefined ? [] : [[`GLANCE_SIZE_PROXY_${name}`, value] as const],
  );
  return startCommand(upstreamUrl, Object.fromEntries(set));
}

async function startBare({ upstreamUrl, caFile, clientTls }: Site): Promise<Running> {
  const files = clientTls ? [clientTls.certFile, clientTls.keyFile] : [];
  const child = spawn(process.execPath, ["build/bench/proxy/bare-http-proxy.js", upstreamUrl, ...files], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, NODE_EXTRA_CA_CERTS: caFile },
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
