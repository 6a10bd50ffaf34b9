/** What goes into other people's deployment tools: read by those tools, as far as they are to be had. */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { loadConfig, parseConfig } from "../../src/config/load.js";
import type { Config } from "../../src/config/schema.js";
import { complaintsAbout, parseManifests, type Manifest } from "../support/kubernetes.js";
import { describeWith } from "../support/requirements.js";
import { run, type CommandResult } from "../support/run.js";
import { writeGlanceOfKolla, writeKolla } from "./stand-in-kolla.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "openstack-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function readYaml<T>(path: string): T {
  return parse(readFileSync(path, "utf8")) as T;
}
const address = ({ host, port }: { host: string; port: number }) => `${host}:${port}`;

describeWith(["helm"], "the override for openstack-helm", () => {
  const VALUES = "deploy/openstack-helm/glance-size-proxy.yaml";
  const SIDECAR = "deploy/openstack-helm/sidecar.yaml";
  const POST_RENDERER = ["--post-renderer", "deploy/openstack-helm/post-render.sh"];
  interface Container {
    name: string;
    env: { name: string; value: string }[];
  }

  /** In place of the Glance chart: its deployment as far as the override touches it, and the service in front. */
  function standInChart(name: string, moreContainers: string): string {
    const chart = join(folder, name);
    mkdirSync(join(chart, "templates"), { recursive: true });
    writeFileSync(join(chart, "Chart.yaml"), `apiVersion: v2\nname: glance\nversion: 1.0.0\n`);
    writeFileSync(join(chart, "values.yaml"), "pod: { extraContainers: { glance_api: [] } }\nnetwork: { api: { target_port: null } }\n");
    const deployment = `
      apiVersion: apps/v1
      kind: Deployment
      metadata: { name: glance-api, labels: { application: glance } }
      spec:
        selector: { matchLabels: { application: glance } }
        template:
          metadata: { labels: { application: glance } }
          spec:
            terminationGracePeriodSeconds: {{ .Values.pod.lifecycle.termination_grace_period.api.timeout }}
            containers:
              - name: glance-api
                image: glance
                command: [uwsgi, --http-socket, {{ index .Values.conf.glance_api_uwsgi.uwsgi "http-socket" | quote }}]
                ports: [{ name: g-api, containerPort: 9292 }]
                readinessProbe: { httpGet: { path: /healthcheck, port: 9292 } }
${moreContainers}
      ---
      apiVersion: v1
      kind: Secret
      metadata: { name: glance-etc, labels: {} }
      data:
        glance-api-uwsgi.ini: {{ printf "[uwsgi]\\nhttp-socket = %s\\n" (index .Values.conf.glance_api_uwsgi.uwsgi "http-socket") | b64enc }}
      ---
      apiVersion: v1
      kind: Service
      metadata: { name: glance-api, labels: {} }
      spec:
        ports: [{ name: g-api, port: 9292{{ with .Values.network.api.target_port }}, targetPort: {{ . }}{{ end }} }]
        selector: { application: glance }`;
    writeFileSync(join(chart, "templates/all.yaml"), deployment.replaceAll(/^ {6}/gm, ""));
    return chart;
  }
  const HOOK = `{{- range .Values.pod.extraContainers.glance_api }}
              - {{ . | toYaml | indent 10 | trim }}
{{- end }}`;

  /** The chart's own nginx, which older charts have with manifests.certificates. */
  const OWN_NGINX = `
              - { name: nginx, image: nginx, ports: [{ containerPort: 9292 }] }`;
  /** As an override of the chart puts a TLS sidecar into the pod: by a list, of which Helm keeps the last one only. */
  function tlsSidecar(): string {
    const file = join(folder, "tls-sidecar.yaml");
    const nginx = { name: "nginx-tls", image: "nginx", ports: [{ containerPort: 443 }] };
    writeFileSync(
      file,
      JSON.stringify({
        pod: { extraContainers: { glance_api: [nginx] } },
        network: { api: { target_port: 443 } },
      }),
    );
    return file;
  }

  function helm(program: string, chart: string, ...more: string[]): Promise<CommandResult> {
    const env = { HOME: folder, PATH: "/usr/local/bin:/usr/bin:/bin" };
    return run(`/usr/local/bin/${program}`, ["template", "glance", chart, ...more], { env });
  }
  async function render(chart: string, ...more: string[]): Promise<Manifest[]> {
    const { code, stdout, stderr } = await helm("helm3", chart, "--values", VALUES, ...more);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return parseManifests(stdout).sort((a, b) => a.kind.localeCompare(b.kind));
  }
  const containersOf = ([deployment]: Manifest[]) =>
    (deployment?.["spec"] as { template: { spec: { containers: Container[] } } }).template.spec.containers;

  test("puts the proxy beside Glance, with a chart that has the hook and, by the post-renderer, with one that has not", async () => {
    const hooked = await render(standInChart("hooked", HOOK), "--values", SIDECAR);
    expect(containersOf(hooked).map(({ name }) => name)).toEqual(["glance-api", "glance-size-proxy"]);
    const patched = await render(standInChart("plain", ""), ...POST_RENDERER);
    expect(containersOf(patched).find(({ name }) => name === "glance-size-proxy")).toEqual(
      containersOf(hooked)[1],
    );
    expect(containersOf(patched)).toHaveLength(2);
    expect(await complaintsAbout([...hooked, ...patched])).toEqual([]);
  });

  test("puts the proxy beside a TLS sidecar, whichever values come last", async () => {
    const chart = standInChart("hooked", HOOK);
    const first = await render(chart, "--values", tlsSidecar(), ...POST_RENDERER);
    const last = await helm("helm3", chart, "--values", tlsSidecar(), "--values", VALUES, ...POST_RENDERER);
    for (const manifests of [first, parseManifests(last.stdout)]) {
      const pod = containersOf(manifests.filter(({ kind }) => kind === "Deployment"));
      expect(pod.map(({ name }) => name).sort()).toEqual(["glance-api", "glance-size-proxy", "nginx-tls"]);
    }
    expect(await complaintsAbout(first)).toEqual([]);
  });

  test("the values that move Glance hold no list, as Helm would keep the last one only", () => {
    expect(readFileSync(VALUES, "utf8")).not.toMatch(/^\s*- |: *\[/m);
  });

  test("leaves 9292 of the pod's address to the chart's own nginx", async () => {
    const listens = async (chart: string) =>
      containersOf(await render(chart, ...POST_RENDERER))
        .find(({ name }) => name === "glance-size-proxy")
        ?.env.find(({ name }) => name === "GLANCE_SIZE_PROXY_LISTEN")?.value;
    expect(await listens(standInChart("own-nginx", OWN_NGINX))).toBe("127.0.0.1:9292");
    expect(await listens(standInChart("plain", ""))).toBe("0.0.0.0:9292");
  });

  test.each([
    [
      "Glance would hold the proxy's port",
      () => [standInChart("plain", ""), "--values", VALUES, "--set", "conf.glance_api_uwsgi.uwsgi.http-socket=127.0.0.1:9292"],
      "Glance's uWSGI is to listen on 127.0.0.1:9292. Name glance-size-proxy.yaml after all other --values.",
    ],
    [
      "a list of containers has replaced the TLS sidecar",
      () => [standInChart("hooked", HOOK), "--values", tlsSidecar(), "--values", VALUES, "--values", SIDECAR],
      "the service goes to port 443, and no container of the pod has it. Leave out --values sidecar.yaml.",
    ],
    [
      "the chart is not Glance's",
      () => {
        const chart = standInChart("other", "");
        const file = join(chart, "templates/all.yaml");
        writeFileSync(file, readFileSync(file, "utf8").replace("name: glance-api,", "name: another,"));
        return [chart, "--values", VALUES];
      },
      "the chart renders no Deployment named glance-api.",
    ],
  ] as const)("the post-renderer refuses a pod in which %s", async (_, args, words) => {
    const [chart, ...more] = args();
    const { code, stderr } = await helm("helm3", chart, ...more, ...POST_RENDERER);
    expect([code, stderr]).toEqual([1, expect.stringContaining(`glance-size-proxy: ${words}\n`)]);
  });

  test("Helm 4 takes the post-renderer as a plugin", async () => {
    const env = { HOME: folder, PATH: "/usr/local/bin:/usr/bin:/bin" };
    const installed = await run("/usr/local/bin/helm4", ["plugin", "install", resolve("deploy/openstack-helm")], { env });
    expect([installed.code, installed.stdout]).toEqual([0, expect.stringContaining("glance-size-proxy")]);
    const chart = standInChart("plain", "");
    const { code, stdout } = await helm("helm4", chart, "--values", VALUES, "--post-renderer", "glance-size-proxy");
    expect(code).toBe(0);
    expect(parseManifests(stdout).sort((a, b) => a.kind.localeCompare(b.kind))).toEqual(
      await render(chart, ...POST_RENDERER),
    );
  });

  test("the proxy takes the port that the service goes to, and goes to where Glance has moved", () => {
    const values = readYaml<{
      conf: {
        glance_api_uwsgi: { uwsgi: Record<string, string | number> };
        glance: { DEFAULT: Record<string, unknown> };
      };
      pod: { lifecycle: { termination_grace_period: { api: { timeout: number } } } };
    }>(VALUES);
    const sidecar = readYaml<{ pod: { extraContainers: { glance_api: [Container] } } }>(SIDECAR);
    const [{ env }] = sidecar.pod.extraContainers.glance_api;
    const config = loadConfig({
      flags: {},
      env: Object.fromEntries(env.map(({ name, value }) => [name, value])),
      readFile: () => "",
    });
    const { uwsgi } = values.conf.glance_api_uwsgi;
    expect(config.listen.address.port).toBe(9292);
    expect(config.upstream.url.host).toBe(uwsgi["http-socket"]);
    expect(values.conf.glance.DEFAULT).toEqual({
      bind_host: "127.0.0.1",
      bind_port: Number(config.upstream.url.port),
    });
    expect(Number(uwsgi["socket-timeout"]) * 1000).toBeGreaterThan(config.limits.idleTimeout);
    // A TLS sidecar in the pod, and the ingress.
    expect(config.forwarded.trust).toEqual(["127.0.0.1", "10.244.0.0/16"]);
    const graceMs = values.pod.lifecycle.termination_grace_period.api.timeout * 1000;
    expect(graceMs).toBeGreaterThan(config.shutdown.drainTimeout + config.rollback.timeout);
  });
});

describeWith(["ansible", "systemd"], "the playbook", () => {
  const ansible = (program: string, ...args: string[]) =>
    run(`/usr/bin/${program}`, args, {
      env: {
        HOME: folder,
        ANSIBLE_LOCALHOST_WARNING: "false",
        ANSIBLE_TRANSFORM_INVALID_GROUP_CHARS: "ignore",
        ANSIBLE_GATHERING: "explicit",
      },
    });

  /** Runs it on this machine, all but what installs and starts, into a folder. `balancers`: the group of those in front. */
  async function play(
    playbook: string,
    { group, balancers }: { group: string; balancers: string },
    variables: object,
  ): Promise<{ config: Config; unit: string }> {
    const into = join(folder, group);
    mkdirSync(into);
    const inventory = join(into, "inventory");
    const here = "localhost ansible_connection=local ansible_become=false";
    const inFront = "one ansible_host=192.0.2.1\ntwo ansible_host=192.0.2.2";
    writeFileSync(inventory, `[${group}]\n${here}\n[${balancers}]\n${inFront}\n`);
    const extra = JSON.stringify({
      ...variables,
      glance_size_proxy_etc: into,
      glance_size_proxy_units: into,
    });
    const args = [
      "--inventory",
      inventory,
      "--extra-vars",
      extra,
      "--skip-tags",
      "service,package",
      playbook,
    ];
    const { code, stdout, stderr } = await ansible("ansible-playbook", ...args);
    expect([code, stdout, stderr]).toEqual([0, expect.stringContaining("failed=0"), ""]);
    return {
      config: parseConfig(readYaml(join(into, "config.yaml"))),
      unit: readFileSync(join(into, "glance-size-proxy.service"), "utf8"),
    };
  }

  /** As much of Kolla's own folder of playbooks as ours takes from it. */
  function installKolla(): string {
    const kolla = join(folder, "kolla");
    for (const name of ["group_vars", "filter_plugins"]) mkdirSync(join(kolla, name), { recursive: true });
    writeFileSync(
      join(kolla, "group_vars/all.yml"),
      [
        `api_interface_address: "{{ 'api' | kolla_address }}"`,
        "glance_api_listen_port: 9292",
        "kolla_container_engine: env # a program that is here",
      ].join("\n"),
    );
    writeFileSync(
      join(kolla, "filter_plugins/address.py"),
      `ADDRESSES = {"one": "192.0.2.1", "two": "192.0.2.2"}
class FilterModule:
    def filters(self):
        return {"kolla_address": lambda network, host=None: ADDRESSES.get(host, "192.0.2.7")}
`,
    );
    return kolla;
  }

  test("for kolla-ansible runs the container where HAProxy looks for Glance, in front of where Glance has moved", async () => {
    const kolla = installKolla();
    cpSync("deploy/kolla-ansible/glance-size-proxy.yml", join(kolla, "glance-size-proxy.yml"));
    const groups = { group: "glance-api", balancers: "loadbalancer" };
    const { config, unit } = await play(join(kolla, "glance-size-proxy.yml"), groups, {
      glance_size_proxy_image: "registry.example.org/glance-size-proxy:0.1.0",
    });
    expect(address(config.listen.address)).toBe("192.0.2.7:9292");
    expect(config.forwarded.trust).toEqual(["127.0.0.1", "192.0.2.1", "192.0.2.2"]);
    // The image's health check is for that address.
    expect(address(config.admin.address)).toBe("127.0.0.1:9190");
    const { stdout } = await run("/usr/bin/python3", [
      "-c",
      `import configparser; c = configparser.ConfigParser(); c.read("deploy/kolla-ansible/glance-api.conf")
print(c["DEFAULT"]["bind_host"] + ":" + c["DEFAULT"]["bind_port"])`,
    ]);
    expect(config.upstream.url.host).toBe(stdout.trim());
    expect(unit).toMatch(/run --rm .*--network host[^]*--read-only --cap-drop ALL[^]*registry\.example\.org/);
    const verified = await run("/usr/bin/systemd-analyze", [
      "verify",
      join(folder, "glance-api/glance-size-proxy.service"),
    ]);
    expect(verified).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  test("for OpenStack-Ansible installs our unit, and its variables agree with the configuration", async () => {
    const groups = { group: "glance_api", balancers: "haproxy_all" };
    const { config, unit } = await play("deploy/openstack-ansible/glance-size-proxy.yml", groups, {
      glance_size_proxy_address: "192.0.2.8",
    });
    expect(config.forwarded.trust).toEqual(["192.0.2.1", "192.0.2.2"]);
    expect(config.spool.dir).toBe("/var/cache/glance-size-proxy");
    expect(unit).toBe(readFileSync("deploy/systemd/glance-size-proxy.service", "utf8"));
    const file = "deploy/openstack-ansible/user_variables_glance_size_proxy.yml";
    const variables = readYaml<{
      glance_api_bind_address: string;
      glance_api_service_port: number;
      glance_api_uwsgi_ini_overrides: { uwsgi: { "socket-timeout": number } };
      haproxy_glance_api_service_overrides: { haproxy_check_port: number };
    }>(file);
    const moved = `${variables.glance_api_bind_address}:${variables.glance_api_service_port}`;
    expect(config.upstream.url.host).toBe(moved);
    expect(address(config.listen.address)).toBe("192.0.2.8:9292");
    expect(config.admin.address.port).toBe(variables.haproxy_glance_api_service_overrides.haproxy_check_port);
    const { uwsgi } = variables.glance_api_uwsgi_ini_overrides;
    expect(uwsgi["socket-timeout"] * 1000).toBeGreaterThan(config.limits.idleTimeout);
    // As Ansible reads it, its expressions worked out.
    const shown = await ansible(
      ...([
        "ansible",
        "localhost",
        "--extra-vars",
        `@${resolve(file)}`,
        "--extra-vars",
        "ansible_host=192.0.2.8",
      ] as const),
      ...[
        "--connection",
        "local",
        "--module-name",
        "debug",
        "--args",
        "var=glance_glance_api_conf_overrides",
      ],
    );
    expect([shown.code, shown.stdout]).toEqual([0, expect.stringContaining('"http://192.0.2.8:9292"')]);
  });
});

describe("the script for DevStack", () => {
  test("steps in between Apache and Glance, also where stack.sh is run again", async () => {
    // Programs of the machine that the script is not to change: they say what they were asked. A unit is there once.
    const bin = join(folder, "bin");
    mkdirSync(bin);
    const program = (name: string, script: string): void =>
      writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    program("systemd-run", `mkdir ${folder}/unit && echo systemd-run "$@"`);
    program("systemctl", `echo systemctl "$@"; case "$1" in stop) rmdir ${folder}/unit;; esac`);
    program("sudo", 'exec "$@"');
    program("glance-size-proxy", "");
    const ini = join(folder, "glance-uwsgi.ini");
    const site = join(folder, "glance-wsgi-api.conf");
    writeFileSync(join(folder, "other.conf"), 'ProxyPass "/other" "http://127.0.0.1:6099" retry=0 \n');

    for (const glance of ["127.0.0.1:60999", "127.0.0.1:60123"]) {
      writeFileSync(ini, `[uwsgi]\nmaster = true\nhttp-socket = ${glance}\nprocesses = 2\n`);
      writeFileSync(site, `KeepAlive Off\nProxyPass "/image" "http://${glance}" retry=0 \n`);
      const { code, stdout } = await run(resolve("deploy/devstack/local.sh"), [], {
        env: { PATH: `${bin}:/usr/bin:/bin`, GLANCE_UWSGI_CONF: ini, APACHE_CONF_DIR: folder },
      });
      expect(code).toBe(0);
      expect(readFileSync(site, "utf8")).toContain('ProxyPass "/image" "http://127.0.0.1:19293" retry=0');
      expect(stdout).toMatch(
        new RegExp(`systemd-run .*--upstream http://${glance} --listen 127.0.0.1:19293\n`),
      );
      expect(stdout).toContain("systemctl reload apache2");
    }
  });
});

describeWith(["shellcheck"], "shellcheck", () => {
  test("has nothing to say about our scripts", () => {
    const scripts = execFileSync("git", ["ls-files", "*.sh", ".ci/run"], { encoding: "utf8" })
      .trim()
      .split("\n");
    expect(scripts).toContain("deploy/devstack/local.sh");
    expect(execFileSync("/usr/bin/shellcheck", scripts, { encoding: "utf8" })).toBe("");
  });
});
