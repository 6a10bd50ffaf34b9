/**
 * A real Keystone of this machine, from Debian's `python3-keystone`: the library and its commands, without the services and the files
 * in `/etc` of the package `keystone`. It lies in a fresh directory of its own: sqlite, fernet tokens, under Waitress:
 * uWSGI of Debian 12 sometimes crashes under as many requests as one upload with quotas causes.
 */
import { writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.js";
import { postJson } from "./glance-client.js";
import { startServers } from "./process-group.js";
import type { Requirement } from "./provided.js";
import { answers, type HeaderValues, type RawResponse, request } from "./raw-http.js";
import { run } from "./run.js";

export const KEYSTONE_REQUIREMENTS: readonly Requirement[] = ["keystone", "glance-api"];

export interface Keystone {
  /** What clients call the auth URL. */
  readonly url: string;
  /** Lines of Glance's section `[keystone_authtoken]`. Glance then asks for each request, so that it knows of a revocation at once. */
  readonly authtoken: readonly string[];
  /** The only user, an administrator of the only project. */
  readonly user: { readonly name: string; readonly password: string; readonly project: string };
  /** @returns a new token. @param lifetimeS in how many seconds it expires. Default an hour. */
  login(lifetimeS?: number): Promise<string>;
  /** Whether Keystone still takes this token. */
  accepts(token: string): Promise<boolean>;
  /** Puts Glance into the catalog of a new region. */
  addGlance(region: string, glanceUrl: string): Promise<void>;
  /**
   * Registers limits of each project, by the names of Glance's resources.
   * @returns lines of Glance's configuration, of `[DEFAULT]` and of the section behind it.
   */
  addLimits(limits: Readonly<Record<string, number>>): Promise<readonly string[]>;
  stop(): Promise<void>;
}

const LIFETIME_HEADER = "X-Token-Lifetime";
const LIFETIME_VARIABLE = "HTTP_X_TOKEN_LIFETIME";
const USER = { name: "admin", password: "secret", project: "admin" };
const DOMAIN = { name: "Default" };

/** Starts it and waits until it answers. */
export function startKeystone(): Promise<Keystone> {
  return startServers("keystone", async ({ directory, start, untilReady }) => {
    const port = await freePort();
    const configFile = await writeConfig(directory);
    await prepare(directory, configFile, `http://127.0.0.1:${port}/v3`);
    await start(["/usr/bin/python3", "-c", SERVER, String(port)], {
      env: { OS_KEYSTONE_CONFIG_FILES: configFile },
    });
    await untilReady(() => answers(port, "/v3"));
    return describeKeystone(port);
  });
}

async function describeKeystone(port: number): Promise<Omit<Keystone, "stop">> {
  const login = async (lifetimeS?: number): Promise<string> => {
    const user = { name: USER.name, domain: DOMAIN, password: USER.password };
    const auth = {
      identity: { methods: ["password"], password: { user } },
      scope: { project: { name: USER.project, domain: DOMAIN } },
    };
    const lifetime = lifetimeS === undefined ? {} : { [LIFETIME_HEADER]: lifetimeS };
    const answer = await post(port, "/v3/auth/tokens", { auth }, lifetime);
    return answer.headers["x-subject-token"] ?? "";
  };
  const token = await login();
  const create = async <T>(path: string, value: unknown): Promise<T> =>
    (await post(port, path, value, { "X-Auth-Token": token })).json() as T;
  const { service } = await create<{ service: { id: string } }>("/v3/services", {
    service: { type: "image", name: "glance" },
  });
  const addEndpoint = async (region: string, glanceUrl: string): Promise<{ endpoint: { id: string } }> => {
    await create("/v3/regions", { region: { id: region } });
    const endpoint = { interface: "public", region_id: region, service_id: service.id, url: glanceUrl };
    return create("/v3/endpoints", { endpoint });
  };
  const url = `http://127.0.0.1:${port}/v3`;
  return {
    url,
    user: USER,
    login,
    async accepts(subject) {
      const headers = { "X-Auth-Token": token, "X-Subject-Token": subject };
      return (await request(port, "GET", "/v3/auth/tokens", { headers })).status === 200;
    },
    async addGlance(region, glanceUrl) {
      await addEndpoint(region, glanceUrl);
    },
    async addLimits(limits) {
      const region = "limits";
      // Glance looks its limits up by its endpoint, and asks nothing at that address.
      const { endpoint } = await addEndpoint(region, "http://127.0.0.1:1");
      const registered = Object.entries(limits).map(([name, limit]) => ({
        ...{ service_id: service.id, region_id: region },
        ...{ resource_name: name, default_limit: limit },
      }));
      await create("/v3/registered_limits", { registered_limits: registered });
      return [
        ...[
          "use_keystone_limits = true",
          "[oslo_limit]",
          `endpoint_id = ${endpoint.id}`,
          "system_scope = all",
        ],
        ...[`auth_url = ${url}`, "auth_type = password", "user_domain_name = Default"],
        ...[`username = ${USER.name}`, `password = ${USER.password}`],
      ];
    },
    authtoken: [
      `www_authenticate_uri = ${url}`,
      `auth_url = ${url}`,
      "auth_type = password",
      `username = ${USER.name}`,
      `password = ${USER.password}`,
      `project_name = ${USER.project}`,
      "user_domain_name = Default",
      "project_domain_name = Default",
      "token_cache_time = -1",
    ],
  };
}

async function post(port: number, path: string, value: unknown, headers: HeaderValues): Promise<RawResponse> {
  const answer = await postJson(port, path, value, headers);
  if (answer.status !== 201) throw new Error(`Keystone, POST ${path}: ${answer.status} ${answer.text}`);
  return answer;
}

const databaseIn = (directory: string): string => join(directory, "keystone.sqlite");

/**
 * Passwords are hashed as fast as may be: each login is checked against such a hash. Without the cache, Keystone runs 120 statements of SQL
 * for each request, and Glance asks it up to 24 times for one upload with quotas.
 */
async function writeConfig(directory: string): Promise<string> {
  const file = join(directory, "keystone.conf");
  await writeFile(
    file,
    `[database]
connection = sqlite:///${databaseIn(directory)}?timeout=30
sqlite_synchronous = false
[cache]
enabled = true
backend = oslo_cache.dict
[identity]
password_hash_rounds = 4
[token]
provider = fernet
[fernet_tokens]
key_repository = ${join(directory, "fernet-keys")}
[fernet_receipts]
key_repository = ${join(directory, "fernet-keys")}
[credential]
key_repository = ${join(directory, "credential-keys")}
`,
  );
  return file;
}

/** Each command in a process of its own, as always, but what they import is read once. */
const MANAGE = `
import json, os, sqlite3, sys
from keystone.cmd import cli

# Kept in the file: a transaction that only reads, and that Keystone leaves open, stops no other from writing.
sqlite3.connect(sys.argv[1]).execute("PRAGMA journal_mode = WAL")
for command in json.loads(sys.argv[2]):
    if os.fork() == 0:
        cli.main(["keystone-manage", *command])
        os._exit(0)
    if os.wait()[1] != 0:
        sys.exit("%s failed" % command)
`;

/** Tables, keys, the user, and what the catalog says of Keystone itself. */
async function prepare(directory: string, configFile: string, url: string): Promise<void> {
  const { uid, gid } = userInfo();
  const commands = [
    ["db_sync"],
    ["fernet_setup", "--keystone-user", String(uid), "--keystone-group", String(gid)],
    [
      ...["bootstrap", "--bootstrap-password", USER.password, "--bootstrap-region-id", "keystone"],
      ...["--bootstrap-public-url", url, "--bootstrap-internal-url", url],
    ],
  ].map((command) => ["--config-file", configFile, ...command]);
  const result = await run("/usr/bin/python3", [
    "-c",
    MANAGE,
    databaseIn(directory),
    JSON.stringify(commands),
  ]);
  if (result.code !== 0) throw new Error(`Keystone could not be prepared:\n${result.stderr}`);
}

/**
 * Keystone's server. The lifetime of tokens is an option of the whole server: here a request may set it for itself. So there is only one thread:
 * with several, requests would set it for each other.
 */
const SERVER = `
import sys
from keystone.conf import CONF
from keystone.server.wsgi import initialize_public_application
from waitress import serve

port = sys.argv.pop() # Keystone would read it as an option of its own
keystone = initialize_public_application()

def application(environ, start_response):
    CONF.set_override("expiration", int(environ.get("${LIFETIME_VARIABLE}", "3600")), "token")
    return keystone(environ, start_response)

serve(application, listen="127.0.0.1:" + port, threads=1)
`;
