/** nginx in front of an upstream. */
import { join } from "node:path";
import { run } from "../test/support/run.js";
import { type Configured, startConfigured } from "./configured.js";

const NGINX = "/usr/sbin/nginx";

/** @param directives of the location that everything falls into, such as `proxy_request_buffering off`. */
export function startNginx(upstreamUrl: string, directives: readonly string[]): Promise<Configured> {
  return startConfigured(
    NGINX,
    (configFile) => ["-e", "stderr", "-c", configFile],
    (port, directory) => {
      const temporaryPaths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
        (what) => `${what}_temp_path ${join(directory, what)};`,
      );
      return `daemon off;
master_process off;
pid ${join(directory, "nginx.pid")};
events { worker_connections 2048; }
http {
  access_log off;
  client_max_body_size 0;
  keepalive_requests 1000000;
  ${temporaryPaths.join("\n  ")}
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass ${upstreamUrl};
      proxy_http_version 1.1;
      ${directives.map((directive) => `${directive};`).join("\n      ")}
    }
  }
}
`;
    },
  );
}

export async function nginxVersion(): Promise<string> {
  const { stderr } = await run(NGINX, ["-v"]);
  return stderr.trim().replace("nginx version: nginx/", "");
}
