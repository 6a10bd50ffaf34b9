/** HAProxy in front of an upstream. */
import { run } from "../../test/support/run.js";
import { startConfigured } from "../configured.js";
import type { Running, Site } from "./site.js";

const HAPROXY = "/usr/sbin/haproxy";

/** @param options such as `option splice-request`. */
export function startHaproxy({ upstreamUrl, clientTls }: Site, options: readonly string[]): Promise<Running> {
  const server = upstreamUrl.replace(/^http:\/\/|^https:\/\//, "").replace(/^unix:/, "unix@");
  return startConfigured(
    HAPROXY,
    (configFile) => ["-db", "-q", "-f", configFile],
    (port) => `global
  nbthread 1
  maxconn 2000
  ssl-load-extra-del-ext
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  ${options.join("\n  ")}
listen bench
  bind 127.0.0.1:${port}${clientTls ? ` ssl crt ${clientTls.certFile}` : ""}
  server glance ${server}${upstreamUrl.startsWith("https:") ? " ssl verify none" : ""}
`,
  );
}

export async function haproxyVersion(): Promise<string> {
  const { stdout } = await run(HAPROXY, ["-v"]);
  return /version (\S+)/.exec(stdout)?.[1] ?? "of an unknown version";
}
