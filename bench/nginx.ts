/** nginx in front of an upstream. */
import { join } from "node:path";
import type { Certificate } from "../test/support/certificates.js";
import { run } from "../test/support/run.js";
import { type Configured, startConfigured } from "./configured.js";

const NGINX = "/usr/sbin/nginx";

/**
 * @param upstreamUrl `http://...`, `https://...` or `unix:/PATH`.
 * @param directives of the location that everything falls into, such as `proxy_request_buffering off`.
 * @param tls certificate for clients.
 */
export function startNginx(
  upstreamUrl: string,
  directives: readonly string[],
  tls?: Certificate,
): Promise<Configured> {
  const certificate = tls
    ? ["ssl_protocols TLSv1.3", `ssl_certificate ${tls.certFile}`, `ssl_certificate_key ${tls.keyFile}`]
    : [];
  return startConfigured(
    NGINX,
    (configFile) => ["-e", "stderr", "-c", configFile],
    (port, directory) => {
      const temporaryPaths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
        (what) => `${what}_temp_path ${join(directory, what)}`,
      );
      return `daemon off;
master_process off;
pid ${join(directory, "nginx.pid")};
events { worker_connections 2048; }
http {
  access_log off;
  sendfile on; # as in Debian's nginx.conf, and the next line too
  tcp_nopush on;
  client_max_body_size 0;
  keepalive_requests 1000000;
  ${lines(temporaryPaths)}
  server {
    listen 127.0.0.1:${port}${tls ? " ssl" : ""};
    ${lines(certificate)}
    location / {
      proxy_pass ${upstreamUrl.replace(/^unix:.*/, "http://$&:")};
      proxy_http_version 1.1;
      ${lines(directives)}
    }
  }
}
`;
    },
  );
}

function lines(directives: readonly string[]): string {
  return directives.map((directive) => `${directive};`).join("\n");
}

export async function nginxVersion(): Promise<string> {
  const { stderr } = await run(NGINX, ["-v"]);
  return stderr.trim().replace("nginx version: nginx/", "");
}
