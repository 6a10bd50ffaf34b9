/** nginx in front of an upstream: one process, in a directory of its own. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../test/support/free-port.js";
import { until } from "../test/support/glance-client.js";
import { request } from "../test/support/raw-http.js";
import { run } from "../test/support/run.js";

const NGINX = "/usr/sbin/nginx";

export interface Nginx {
  readonly pid: number;
  readonly port: number;
  /** Where it keeps bodies, among others. */
  readonly directory: string;
  stop(): Promise<void>;
}

/** @param directives of the location that everything falls into, such as `proxy_request_buffering off`. */
export async function startNginx(upstreamUrl: string, directives: readonly string[]): Promise<Nginx> {
  const directory = await mkdtemp(join(tmpdir(), "nginx-"));
  const port = await freePort();
  const configFile = join(directory, "nginx.conf");
  const temporaryPaths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (what) => `${what}_temp_path ${join(directory, what)};`,
  );
  await writeFile(
    configFile,
    `daemon off;
master_process off;
pid ${join(directory, "nginx.pid")};
events {}
http {
  access_log off;
  client_max_body_size 0;
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
`,
  );
  const child = spawn(NGINX, ["-e", "stderr", "-c", configFile], { stdio: ["ignore", "ignore", "inherit"] });
  const exited = once(child, "exit");
  const stop = async (): Promise<void> => {
    child.kill();
    await exited;
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await until(
      () => request(port, "GET", "/").catch(() => undefined),
      (answer) => answer !== undefined,
    );
  } catch (cause) {
    await stop();
    throw new Error("nginx does not answer", { cause });
  }
  return { pid: child.pid ?? 0, port, directory, stop };
}

export async function nginxVersion(): Promise<string> {
  const { stderr } = await run(NGINX, ["-v"]);
  return stderr.trim().replace("nginx version: nginx/", "");
}
