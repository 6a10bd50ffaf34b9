/** Debian's Tempest, OpenStack's own integration tests, in a fresh directory of its own for each run. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Keystone } from "./keystone.js";
import type { Requirement } from "./provided.js";
import { run } from "./run.js";

export const TEMPEST_REQUIREMENTS: readonly Requirement[] = ["tempest"];

/** Where Tempest finds what it tests. */
export interface Cloud {
  readonly keystone: Pick<Keystone, "url" | "user">;
  /** Whose image endpoint is tested. */
  readonly region: string;
  /** An image of some bytes, for imports of the method `web-download`. */
  readonly webImage: string;
  /** If the image endpoint is HTTPS: who has signed its certificate. */
  readonly caFile?: string | undefined;
}

/** By the name of the test, without its tags. */
export type TempestResults = ReadonlyMap<string, "success" | "failure" | "skip">;

const TESTS = String.raw`^tempest\.api\.image\.`;
const TIMEOUT_MS = 600_000;
const PACKAGES = "/usr/lib/python3/dist-packages";

/** Runs the image tests. @param only their names; default all. @returns how each ended. */
export async function runTempest(cloud: Cloud, only?: readonly string[]): Promise<TempestResults> {
  const directory = await mkdtemp(join(tmpdir(), "tempest-"));
  try {
    await mkdir(join(directory, "lock"));
    await writeFile(join(directory, "tempest.conf"), config(directory, cloud));
    await writeFile(join(directory, ".stestr.conf"), STESTR);
    const env = { HOME: directory, TEMPEST_CONFIG_DIR: directory, PYTHONDONTWRITEBYTECODE: "1" };
    const options = { cwd: directory, env, timeoutMs: TIMEOUT_MS };
    const regex =
      only === undefined ? TESTS : only.map((name) => `${name.replaceAll(".", "[.]")}(\\[|$)`).join("|");
    const tests = await run("/usr/bin/tempest", ["run", "--regex", regex, "--concurrency", "2"], options);
    const last = await run(
      "/bin/sh",
      ["-c", "stestr last --subunit | subunit2csv --no-passthrough"],
      options,
    );
    const results = parse(last.stdout);
    if (results.size === 0)
      throw new Error(`Tempest ran nothing:\n${(tests.stdout + tests.stderr).slice(-3_000)}`);
    return results;
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** Lines of `test,status,start,stop`; tests that were made of others have commas in their names, within quotes. */
function parse(csv: string): TempestResults {
  const results = new Map<string, "success">();
  for (const line of csv.split("\n").slice(1)) {
    const match = /^"?([^[,"]+)(?:\[.*\])?([^,"]*)"?,(\w+),/.exec(line.trim());
    if (match) results.set(`${match[1]}${match[2]}`, match[3] as "success");
  }
  return results;
}

const STESTR = `[DEFAULT]
test_path=${PACKAGES}/tempest/test_discover
top_dir=${PACKAGES}
group_regex=([^\\.]*\\.)*
`;

const config = (directory: string, { keystone, region, webImage, caFile }: Cloud): string => `[DEFAULT]
log_file = ${join(directory, "tempest.log")}
[oslo_concurrency]
lock_path = ${join(directory, "lock")}
[auth]
use_dynamic_credentials = true
create_isolated_networks = false
admin_username = ${keystone.user.name}
admin_password = ${keystone.user.password}
admin_project_name = ${keystone.user.project}
admin_domain_name = Default
[identity]
uri_v3 = ${keystone.url}
auth_version = v3
region = keystone
v3_endpoint_type = public
${caFile === undefined ? "" : `ca_certificates_file = ${caFile}`}
[image]
region = ${region}
http_image = ${webImage}
[image-feature-enabled]
import_image = true
os_glance_reserved = true
[service_available]
cinder = false
glance = true
horizon = false
neutron = false
nova = false
swift = false
`;
