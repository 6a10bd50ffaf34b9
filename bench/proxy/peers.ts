/** The proxies that are compared, each with one worker and nothing logged. */
import { readFile } from "node:fs/promises";
import { startCommand } from "../../test/support/cli.js";
import { isProvided } from "../../test/support/provided.js";
import { nginxVersion, startNginx } from "../nginx.js";
import { haproxyVersion, startHaproxy } from "./haproxy.js";
import { type Running, type Site, startPrinting } from "./site.js";
import type { Workload } from "./workloads.js";

export interface Peer {
  readonly name: string;
  /** Undefined if it is not installed. */
  readonly version: string | undefined;
  serves(workload: Workload): boolean;
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

/** @param trafficProgram both ends of the bench, and the relays. */
export async function findPeers(trafficProgram: string): Promise<Peer[]> {
  const nginx = isProvided("nginx") ? await nginxVersion() : undefined;
  const haproxy = isProvided("haproxy") ? await haproxyVersion() : undefined;
  const own = await packageVersion(".");
  const node = `on Node ${process.versions.node}`;
  const all: Peer[] = [
    { name: "nginx as shipped", version: nginx, serves: () => true, start: nginxWith([]) },
    { name: NGINX_1M, version: nginx, serves: () => true, start: nginxWith(MIB_BUFFERS) },
    {
      name: HAPROXY,
      version: haproxy,
      serves: ({ spooled }) => !spooled,
      start: (site) => startHaproxy(site, []),
    },
    {
      name: "HAProxy, splice",
      version: haproxy,
      serves: isPlainStream,
      start: (site) => startHaproxy(site, ["option splice-request", "option splice-response"]),
    },
    {
      name: "bare httpxy",
      version: `${await packageVersion("node_modules/httpxy")} ${node}`,
      serves: ({ spooled }) => !spooled,
      start: bare("httpxy"),
    },
    {
      name: BARE,
      version: `${await packageVersion("node_modules/http-proxy")} ${node}`,
      serves: ({ spooled }) => !spooled,
      start: bare("http-proxy"),
    },
    { name: OURS, version: own, serves: () => true, start: (site) => startOurs(site) },
    {
      name: `${OURS}, 2 workers`,
      version: own,
      serves: ({ load }) => load.kind === "stream" && load.streams === 8 && load.each === 1,
      start: (site) => startOurs(site, { WORKERS: "2" }),
    },
    ...[
      ["copy", "buffer"],
      ["splice", "pipe"],
    ].map(([how = "", memory]) => ({
      name: `C relay, ${how}`,
      version: `(one ${memory} of 1 MiB)`,
      serves: (workload: Workload) => isPlainStream(workload) && workload.glance !== "unix",
      start: ({ upstreamUrl }: Site) =>
        startPrinting(trafficProgram, ["relay", how, new URL(upstreamUrl).port]),
    })),
  ];
  // No other one checks digests.
  return all.map((peer) => ({
    ...peer,
    serves: (workload) => peer.serves(workload) && (!hasDigest(workload) || peer.name === OURS),
  }));
}

function hasDigest({ load }: Workload): boolean {
  return load.kind === "stream" && load.body === "digest";
}

/** Whether its bytes pass unchanged, in plain TCP or through a Unix socket. */
function isPlainStream({ load, client, glance, spooled }: Workload): boolean {
  if (load.kind !== "stream" || client === "tls" || glance === "tls" || spooled) return false;
  return load.body !== "chunked" && load.body !== "declared";
}

async function packageVersion(directory: string): Promise<string> {
  const { version } = JSON.parse(await readFile(`${directory}/package.json`, "utf8")) as { version: string };
  return version;
}

function nginxWith(directives: readonly string[]) {
  return ({ upstreamUrl, clientTls, spoolDir }: Site): Promise<Running> =>
    startNginx(
      upstreamUrl,
      [
        `proxy_request_buffering ${spoolDir === undefined ? "off" : "on"}`,
        "proxy_ssl_protocols TLSv1.3",
        ...directives,
      ],
      clientTls,
    );
}

/** @param settings by the names of their environment variables. */
function startOurs(
  { upstreamUrl, caFile, clientTls, spoolDir }: Site,
  settings: Record<string, string> = {},
): Promise<Running> {
  const all = {
    LOG__LEVEL: "warn",
    UPSTREAM__TLS__CA_FILE: upstreamUrl.startsWith("https:") ? caFile : undefined,
    LISTEN__TLS__CERT_FILE: clientTls?.certFile,
    LISTEN__TLS__KEY_FILE: clientTls?.keyFile,
    SIZE__UNKNOWN: spoolDir === undefined ? undefined : "spool",
    SPOOL__DIR: spoolDir,
    ...settings,
  };
  const set = Object.entries(all).flatMap(([name, value]) =>
    value === undefined ? [] : [[`GLANCE_SIZE_PROXY_${name}`, value] as const],
  );
  return startCommand(upstreamUrl, Object.fromEntries(set));
}

function bare(library: string) {
  return ({ upstreamUrl, caFile, clientTls }: Site): Promise<Running> => {
    const files = clientTls ? [clientTls.certFile, clientTls.keyFile] : [];
    const args = [`build/bench/proxy/bare-${library}.js`, upstreamUrl, ...files];
    return startPrinting(process.execPath, args, { NODE_EXTRA_CA_CERTS: caFile });
  };
}
