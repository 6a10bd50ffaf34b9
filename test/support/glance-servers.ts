/** The servers that Glance runs under: what each is told, and how it is started. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { freePort } from "./free-port.js";
import { CONFIG_FILE } from "./glance-config.js";
import { LOG_FILE } from "./process-group.js";
import type { Requirement } from "./provided.js";

/**
 * - `eventlet`: the server of Glance's own, which has gone with Glance 33.
 * - `uwsgi`: uWSGI answers clients itself (`http-socket`), as in Debian.
 * - `uwsgi-router`: uWSGI's router answers clients (`http`), as in kolla-ansible, and keeps their connections.
 * - `apache`: Apache with mod_wsgi, as in Red Hat's OpenStack.
 * - `apache-proxy`: Apache with mod_proxy_http before eventlet, as there in earlier years; both keep connections.
 */
export type GlanceServer = "eventlet" | "uwsgi" | "uwsgi-router" | "apache" | "apache-proxy";

export const SERVER_REQUIREMENTS: Readonly<Record<GlanceServer, readonly Requirement[]>> = {
  eventlet: ["glance-api"],
  uwsgi: ["glance-api", "uwsgi"],
  "uwsgi-router": ["glance-api", "uwsgi"],
  apache: ["glance-api", "apache", "mod-wsgi"],
  "apache-proxy": ["glance-api", "apache"],
};

export interface ServerPlan {
  /** Each runs in a group of its own; the first runs Glance. */
  readonly commands: readonly (readonly string[])[];
  /** What Glance has to be told as its own port. */
  readonly glancePort: number;
  /** If this process is root: the user they have to run as, and own their files. */
  readonly user?: string;
}

/** Writes what the servers read into `directory`. @param processes of uWSGI. SQLite allows only one. */
export async function planServer(
  server: GlanceServer,
  directory: string,
  port: number,
  processes = 1,
): Promise<ServerPlan> {
  const eventlet = ["/usr/bin/glance-api", "--config-file", join(directory, CONFIG_FILE)];
  switch (server) {
    case "eventlet":
      return { commands: [eventlet], glancePort: port };
    case "uwsgi":
      return { commands: [await uwsgi(directory, httpSocket(port), processes)], glancePort: port };
    case "uwsgi-router":
      return { commands: [await uwsgi(directory, httpRouter(port), processes)], glancePort: port };
    case "apache":
      // Apache refuses to run applications as root.
      return {
        commands: [await apache(directory, port, modWsgi(directory))],
        glancePort: port,
        user: "glance",
      };
    case "apache-proxy": {
      const glancePort = await freePort();
      return {
        commands: [eventlet, await apache(directory, port, modProxy(glancePort))],
        glancePort,
        user: "glance",
      };
    }
  }
}

/** The options of Debian's `/etc/glance/glance-api-uwsgi.ini`. */
const httpSocket = (port: number): string => `http-socket = 127.0.0.1:${port}
plugins = python3
socket-timeout = 10
http-raw-body = true
rem-header = Content-Length
add-header = Connection: close
`;

/**
 * The options of kolla-ansible, less two that keep the router from keeping a client's connection: `http-raw-body = true`
 * and `add-header = Connection: close`. A router that keeps connections is the harder case for a proxy in front of it.
 */
const httpRouter = (port: number): string => `http = 127.0.0.1:${port}
plugins = python3,http
socket-timeout = 30
http-keepalive = 1
`;

/**
 * `harakiri` replaces a worker whose threads wait for one another, as they do now and then: eventlet's locks, which Glance uses, are not made
 * for threads ("cannot switch to a different thread"). After 45 s, so that a test that ran into it can pass when it is retried.
 */
async function uwsgi(directory: string, options: string, processes: number): Promise<string[]> {
  const iniFile = join(directory, "glance-api-uwsgi.ini");
  await writeFile(
    iniFile,
    `[uwsgi]
${options}
wsgi-file = /usr/bin/glance-wsgi-api
chdir = ${directory}
processes = ${processes}
threads = 8
harakiri = 45
master = true
no-orphans = true
die-on-term = true
exit-on-reload = true
need-app = true
enable-threads = true
lazy-apps = true
thunder-lock = true
listen = 100
buffer-size = 65535
http-auto-chunked = true
http-chunked-input = true
wsgi-manage-chunked-input = true
`,
  );
  return ["/usr/bin/uwsgi", "--ini", iniFile];
}

/** The options of `WSGIDaemonProcess` and the rest are those of Red Hat's OpenStack, with one process. */
const modWsgi = (directory: string): string => `LoadModule wsgi_module /usr/lib/apache2/modules/mod_wsgi.so
WSGISocketPrefix ${join(directory, "wsgi")}
WSGIApplicationGroup %{GLOBAL}
WSGIDaemonProcess glance processes=1 threads=10 python-path=${directory}
WSGIProcessGroup glance
WSGIScriptAlias / /usr/bin/glance-wsgi-api
WSGIChunkedRequest On
WSGIPassAuthorization On
`;

/** The rules of Red Hat's OpenStack. Without \`retry=0\` Apache would not try for a while what was not there at its start. */
const modProxy = (
  glancePort: number,
): string => `LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
ProxyRequests Off
ProxyPreserveHost On
ProxyPass / http://127.0.0.1:${glancePort}/ retry=0
`;

async function apache(directory: string, port: number, options: string): Promise<string[]> {
  const configFile = join(directory, "apache.conf");
  await writeFile(
    configFile,
    `ServerRoot ${directory}
ServerName glance.test
TraceEnable Off
DefaultRuntimeDir ${directory}
PidFile ${join(directory, "apache.pid")}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
Listen 127.0.0.1:${port}
ErrorLog ${join(directory, LOG_FILE)}
KeepAlive On
LimitRequestBody 0
StartServers 1
<Location />
Require all granted
</Location>
${options}`,
  );
  return ["/usr/sbin/apache2", "-D", "FOREGROUND", "-f", configFile];
}
