/**
 * HAProxy and nginx as they stand in front of a proxy, or between it and Glance: on a free port, connections kept on both
 * sides and shared among clients, nothing buffered, heads of any number of lines let through as they are.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { freePort } from "./free-port.js";
import { startServers } from "./process-group.js";
import type { Requirement } from "./provided.js";
import { connect } from "./raw-http.js";

export type BalancerKind = "haproxy" | "nginx";

export interface Balancer {
  readonly port: number;
  /** Without a trailing slash. */
  readonly url: string;
  stop(): Promise<void>;
}

export const BALANCER_REQUIREMENTS: Readonly<Record<BalancerKind, readonly Requirement[]>> = {
  haproxy: ["haproxy"],
  nginx: ["nginx"],
};

/** Starts one in front of that port of this machine, and waits until it accepts connections. */
export function startBalancer(kind: BalancerKind, upstreamPort: number): Promise<Balancer> {
  return startServers(kind, async ({ directory, start, untilReady }) => {
    const port = await freePort();
    const configFile = join(directory, `${kind}.conf`);
    await writeFile(configFile, CONFIGS[kind](directory, port, upstreamPort));
    await start(COMMANDS[kind](configFile));
    await untilReady(() => accepts(port));
    return { port, url: `http://127.0.0.1:${port}` };
  });
}

async function accepts(port: number): Promise<boolean> {
  const peer = await connect(port).catch(() => undefined);
  peer?.destroy();
  return peer !== undefined;
}

const COMMANDS: Readonly<Record<BalancerKind, (configFile: string) => readonly string[]>> = {
  haproxy: (configFile) => ["/usr/sbin/haproxy", "-db", "-f", configFile],
  nginx: (configFile) => ["/usr/sbin/nginx", "-c", configFile],
};

const CONFIGS: Readonly<
  Record<BalancerKind, (directory: string, port: number, upstreamPort: number) => string>
> = {
  // By itself it takes no head of more than 101 lines.
  haproxy: (_directory, port, upstreamPort) => `global
  nbthread 1
  tune.http.maxhdr 32767
  tune.bufsize 1048576
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option http-keep-alive
  http-reuse always
frontend clients
  bind 127.0.0.1:${port}
  default_backend upstream
backend upstream
  server one 127.0.0.1:${upstreamPort}
`,
  // By itself it drops lines with an underscore, and with Debian's security updates takes no more than 1,000 lines.
  nginx: (directory, port, upstreamPort) => `daemon off;
master_process off;
pid ${join(directory, "nginx.pid")};
error_log stderr;
events { worker_connections 512; }
http {
  access_log off;
  client_body_temp_path ${join(directory, "client_body")};
  proxy_temp_path ${join(directory, "proxy")};
  fastcgi_temp_path ${join(directory, "fastcgi")};
  uwsgi_temp_path ${join(directory, "uwsgi")};
  scgi_temp_path ${join(directory, "scgi")};
  client_max_body_size 0;
  client_header_buffer_size 64k;
  large_client_header_buffers 8 64k;
  underscores_in_headers on;
  max_headers 32767;
  upstream one {
    server 127.0.0.1:${upstreamPort};
    keepalive 8;
  }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://one;
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_buffering off;
      proxy_set_header Host $http_host;
      proxy_set_header Connection "";
    }
  }
}
`,
};
