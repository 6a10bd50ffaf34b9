/** The proxies that are compared, each with one worker, plain HTTP, nothing logged. */
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { connect, createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { firstLine } from "./traffic.js";

export interface Running {
  readonly pid: number;
  readonly port: number;
  readonly child: ChildProcess;
}

export interface Peer {
  readonly name: string;
  readonly version: string;
  start(directory: string, upstreamPort: number): Promise<Running>;
}

export const OURS = "this proxy";
export const NGINX_1M = "nginx, 1 MiB buffer";
export const HAPROXY = "HAProxy";
export const BARE = "bare http-proxy";

/** @returns those that are installed, and the names of those that are not. */
export function findPeers(env: Record<string, string>): {
  readonly peers: Peer[];
  readonly missing: string[];
} {
  const candidates = [
    nginx("nginx as shipped", "16k"),
    nginx(NGINX_1M, "1m"),
    haproxy(),
    node(BARE, ["build/bench/proxy/bare-http-proxy.js"], (port) => [`http://127.0.0.1:${port}`]),
    ours(OURS, env),
  ];
  const peers = candidates.filter((peer) => peer.version !== "");
  const missing = candidates.filter((peer) => peer.version === "").map(({ name }) => name);
  return { peers, missing };
}

/** @param env further settings, such as GLANCE_SIZE_PROXY_WORKERS. */
export function ours(name: string, env: Record<string, string>): Peer {
  return {
    name,
    version: versionOf(process.execPath, ["dist/cli.js", "--version"], /(.*)/),
    async start(_directory, upstreamPort) {
      const child = spawn(
        process.execPath,
        [
          "dist/cli.js",
          "--upstream",
          `http://127.0.0.1:${upstreamPort}`,
          "--listen",
          "127.0.0.1:0",
          "--admin-listen",
          "127.0.0.1:0",
        ],
        {
          env: { ...process.env, GLANCE_SIZE_PROXY_LOG__LEVEL: "warn", ...env },
          stdio: ["ignore", "pipe", "inherit"],
        },
      );
      const { listen } = JSON.parse(await firstLine(child)) as { listen: string };
      child.stdout.resume();
      return { pid: child.pid ?? 0, port: Number(new URL(listen).port), child };
    },
  };
}

function node(
  name: string,
  script: readonly string[],
  args: (upstreamPort: number) => readonly string[],
): Peer {
  return {
    name,
    version: process.version,
    async start(_directory, upstreamPort) {
      const child = spawn(process.execPath, [...script, ...args(upstreamPort)], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      return { pid: child.pid ?? 0, port: Number(await firstLine(child)), child };
    },
  };
}

function nginx(name: string, buffer: string): Peer {
  return {
    name,
    version: versionOf("nginx", ["-v"], /nginx\/(\S+)/),
    async start(directory, upstreamPort) {
      const own = join(directory, `nginx-${buffer}`);
      mkdirSync(own, { recursive: true });
      const port = await freePort();
      const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
        (kind) => `${kind}_temp_path ${own}/${kind};`,
      );
      writeFileSync(
        join(own, "nginx.conf"),
        `master_process off; daemon off; pid ${own}/pid; error_log stderr crit;
events { worker_connections 2048; }
http {
  access_log off; keepalive_requests 1000000; ${temporary.join(" ")}
  client_max_body_size 0; client_body_buffer_size ${buffer};
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://127.0.0.1:${upstreamPort};
      proxy_http_version 1.1; proxy_request_buffering off;
    }
  }
}
`,
      );
      return running(
        spawn("nginx", ["-p", own, "-c", join(own, "nginx.conf"), "-e", "stderr"], {
          stdio: ["ignore", "ignore", "inherit"],
        }),
        port,
      );
    },
  };
}

function haproxy(): Peer {
  return {
    name: HAPROXY,
    version: versionOf("haproxy", ["-v"], /version (\S+)/),
    async start(directory, upstreamPort) {
      const port = await freePort();
      const file = join(directory, "haproxy.cfg");
      writeFileSync(
        file,
        `global
  nbthread 1
  maxconn 2000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen bench
  bind 127.0.0.1:${port}
  server glance 127.0.0.1:${upstreamPort}
`,
      );
      return running(
        spawn("haproxy", ["-db", "-q", "-f", file], { stdio: ["ignore", "ignore", "inherit"] }),
        port,
      );
    },
  };
}

/** @returns "" where it is not installed. */
function versionOf(command: string, args: readonly string[], pattern: RegExp): string {
  try {
    // nginx writes its version to standard error.
    const text = execFileSync("sh", ["-c", '"$0" "$@" 2>&1', command, ...args], { encoding: "utf8" });
    return pattern.exec(text)?.[1] ?? "";
  } catch {
    return "";
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function running(child: ChildProcess, port: number): Promise<Running> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => {
        socket.destroy();
        resolve(true);
      }).on("error", () => resolve(false));
    });
    if (open) return { pid: child.pid ?? 0, port, child };
    await delay(50);
  }
  throw new Error(`${child.spawnfile} does not listen`);
}
