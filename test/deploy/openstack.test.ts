/** What goes into other people's deployment tools: read by those tools, as far as they are to be had. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import type { Config } from "../../src/config/config.js";
import { loadConfig, parseConfig } from "../../src/config/load.js";
import { complaintsAbout, type Manifest, parseManifests } from "../support/kubernetes.js";
import { describeWith } from "../support/requirements.js";
import { type CommandResult, run } from "../support/run.js";
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
    writeFileSync(
      join(chart, "values.yaml"),
      "pod: { extraContainers: { glance_api: [] } }\nnetwork: { api: { target_port: null } }\n",
    );
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

  it("puts the proxy beside Glance, with a chart that has the hook and, by the post-renderer, with one that has not", async () => {
    const hooked = await render(standInChart("hooked", HOOK), "--values", SIDECAR);
    expect(containersOf(hooked).map(({ name }) => name)).toEqual(["glance-api", "glance-size-proxy"]);
    const patched = await render(standInChart("plain", ""), ...POST_RENDERER);
    expect(containersOf(patched).find(({ name }) => name === "glance-size-proxy")).toEqual(
      containersOf(hooked)[1],
    );
    expect(containersOf(patched)).toHaveLength(2);
    expect(await complaintsAbout([...hooked, ...patched])).toEqual([]);
  });

  it("puts the proxy beside a TLS sidecar, whichever values come last", async () => {
    const chart = standInChart("hooked", HOOK);
    const first = await render(chart, "--values", tlsSidecar(), ...POST_RENDERER);
    const last = await helm("helm3", chart, "--values", tlsSidecar(), "--values", VALUES, ...POST_RENDERER);
    for (const manifests of [first, parseManifests(last.stdout)]) {
      const pod = containersOf(manifests.filter(({ kind }) => kind === "Deployment"));
      expect(pod.map(({ name }) => name).sort()).toEqual(["glance-api", "glance-size-proxy", "nginx-tls"]);
    }
    expect(await complaintsAbout(first)).toEqual([]);
  });

  it("the values that move Glance hold no list, as Helm would keep the last one only", () => {
    expect(readFileSync(VALUES, "utf8")).not.toMatch(/^\s*- |: *\[/m);
  });

  it("leaves 9292 of the pod's address to the chart's own nginx", async () => {
    const listens = async (chart: string) =>
      containersOf(await render(chart, ...POST_RENDERER))
        .find(({ name }) => name === "glance-size-proxy")
        ?.env.find(({ name }) => name === "GLANCE_SIZE_PROXY_LISTEN")?.value;
    expect(await listens(standInChart("own-nginx", OWN_NGINX))).toBe("127.0.0.1:9292");
    expect(await listens(standInChart("plain", ""))).toBe("0.0.0.0:9292");
  });

  it.each([
    [
      "Glance would hold the proxy's port",
      () => [
        standInChart("plain", ""),
        "--values",
        VALUES,
        "--set",
        "conf.glance_api_uwsgi.uwsgi.http-socket=127.0.0.1:9292",
      ],
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
    const [chart = "", ...more] = args();
    const { code, stderr } = await helm("helm3", chart, ...more, ...POST_RENDERER);
    expect([code, stderr]).toEqual([1, expect.stringContaining(`glance-size-proxy: ${words}\n`)]);
  });

  it("Helm 4 accepts the post-renderer as a plugin", async () => {
    // A home of its own: Helm 3 complains of plugins that are for Helm 4.
    const env = { HOME: join(folder, "helm4"), PATH: "/usr/local/bin:/usr/bin:/bin" };
    const helm4 = (...args: string[]) => run("/usr/local/bin/helm4", args, { env });
    const installed = await helm4("plugin", "install", resolve("deploy/openstack-helm"));
    expect([installed.code, installed.stdout]).toEqual([0, expect.stringContaining("glance-size-proxy")]);
    const chart = standInChart("plain", "");
    const { code, stdout } = await helm4(
      ...["template", "glance", chart, "--values", VALUES, "--post-renderer", "glance-size-proxy"],
    );
    expect(code).toBe(0);
    expect(parseManifests(stdout).sort((a, b) => a.kind.localeCompare(b.kind))).toEqual(
      await render(chart, ...POST_RENDERER),
    );
  });

  it("the proxy listens on the port of the service, and connects to Glance's new address", () => {
    const values = readYaml<{
      conf: {
        glance_api_uwsgi: { uwsgi: Record<string, string | number> };
        glance: { DEFAULT: Record<string, unknown> };
      };
      pod: { lifecycle: { termination_grace_period: { api: { timeout: number } } } };
    }>(VALUES);
    const sidecar = readYaml<{ pod: { extraContainers: { glance_api: [Container] } } }>(SIDECAR);
    const [{ env }] = sidecar.pod.extraContainers.glance_api;
    const { config } = loadConfig({
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
    expect(Number(uwsgi["socket-timeout"]) * 1000).toBeGreaterThan(config.limits.idleTimeoutMs);
    // A TLS sidecar in the pod, and the ingress.
    expect(config.forwarded.trust).toEqual(["127.0.0.1", "10.244.0.0/16"]);
    const graceMs = values.pod.lifecycle.termination_grace_period.api.timeout * 1000;
    expect(graceMs).toBeGreaterThan(config.shutdown.drainTimeoutMs + config.rollback.timeoutMs);
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
        // These save CPU time: one process a task, no compression, and no search for a Python.
        ANSIBLE_PIPELINING: "true",
        ANSIBLE_MODULE_COMPRESSION: "ZIP_STORED",
        ANSIBLE_PYTHON_INTERPRETER: "/usr/bin/python3",
      },
    });

  interface Inventory {
    group: string;
    /** The group of those in front. */
    balancers: string;
    /** Variables of the host and of the two in front. */
    here?: string;
    one?: string;
    two?: string;
  }
  interface Played {
    code: number;
    stdout: string;
    /** The folder that it wrote into. */
    into: string;
  }

  /** Runs it on this machine, all but what installs and starts, into a folder. Without `check` any port may be taken. */
  async function tryPlaying(
    playbook: string,
    { group, balancers, here = "", one = "", two = "" }: Inventory,
    variables: object,
    { check = false } = {},
  ): Promise<Played> {
    const into = mkdtempSync(join(folder, `${group}-`));
    const inventory = join(into, "inventory");
    const local = "ansible_connection=local ansible_become=false";
    const hosts = [
      `[${group}]`,
      `localhost ${local} ${here}`,
      `[${balancers}]`,
      `one ansible_host=192.0.2.1 ${one}`,
      `two ansible_host=192.0.2.2 ${two}`,
    ];
    writeFileSync(inventory, hosts.join("\n"));
    const extra = JSON.stringify({
      glance_size_proxy_etc: into,
      glance_size_proxy_units: into,
      ...variables,
    });
    const skipped = ["service", "package", ...(check ? [] : ["check"])].join(",");
    const { code, stdout, stderr } = await ansible(
      ...[
        "ansible-playbook",
        "--inventory",
        inventory,
        "--extra-vars",
        extra,
        "--skip-tags",
        skipped,
        playbook,
      ],
    );
    expect(stderr).toBe("");
    return { code, stdout, into };
  }
  async function play(
    ...args: Parameters<typeof tryPlaying>
  ): Promise<{ config: Config; unit: string; into: string }> {
    const { code, stdout, into } = await tryPlaying(...args);
    expect([code, stdout]).toEqual([0, expect.stringContaining("failed=0")]);
    return {
      config: parseConfig(readYaml(join(into, "config.yaml"))),
      unit: readFileSync(join(into, "glance-size-proxy.service"), "utf8"),
      into,
    };
  }
  /** What a playbook says that stops. */
  const complaintOf = ({ stdout }: Played) => /"msg": "(.*)"/.exec(stdout)?.[1];

  /** Something that listens on a port of loopback, as Glance does that has not moved. */
  async function holdPort(address: string): Promise<{ port: number; release: () => Promise<void> }> {
    const server = createServer();
    server.listen(0, address);
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    return {
      port,
      release: async () => {
        server.close();
        await once(server, "close");
      },
    };
  }

  const KOLLA = { group: "glance-api", balancers: "loadbalancer" };
  const OSA = { group: "glance_api", balancers: "haproxy_all" };
  const IMAGE = { glance_size_proxy_image: "registry.example.org/glance-size-proxy:0.1.0" };
  /** Kolla's folder of playbooks with ours in it, and a host whose Glance listens as `listener` says. */
  function installKolla(
    command: "glance-api" | "uwsgi",
    listener: string,
  ): { playbook: string; host: object } {
    const kolla = mkdtempSync(join(folder, "kolla-"));
    const playbook = join(writeKolla(kolla), "glance-size-proxy.yml");
    cpSync("deploy/kolla-ansible/glance-size-proxy.yml", playbook);
    writeGlanceOfKolla(join(kolla, "host"), command, listener);
    // Nobody but the proxy's user may read the key; here that is the user of this test.
    const user = String(process.getuid?.());
    return {
      playbook,
      host: { ...IMAGE, node_config_directory: join(kolla, "host"), glance_size_proxy_uid: user },
    };
  }
  const MOVED_CONF = readFileSync("deploy/kolla-ansible/glance-api.conf", "utf8");

  it("for kolla-ansible runs the container where HAProxy looks for Glance, in front of where Glance has moved", async () => {
    const { playbook, host } = installKolla("glance-api", MOVED_CONF);
    const { config, unit, into } = await play(playbook, KOLLA, host);
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
    expect(config.listen.tls.certFile).toBeUndefined();
    expect(unit).toMatch(/run --rm .*--network host[^]*--read-only --cap-drop ALL[^]*registry\.example\.org/);
    // The image's health check reads it too.
    expect(unit).toContain("--env GLANCE_SIZE_PROXY_CONFIG=/etc/glance-size-proxy/config.yaml");
    const verified = await run("/usr/bin/systemd-analyze", [
      "verify",
      join(into, "glance-size-proxy.service"),
    ]);
    expect(verified).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  it("for kolla-ansible stands between Kolla's TLS proxy and Glance, if there is one", async () => {
    const { playbook, host } = installKolla("glance-api", MOVED_CONF);
    const { config } = await play(playbook, KOLLA, { ...host, kolla_enable_tls_backend: true });
    expect(address(config.listen.address)).toBe("127.0.0.1:9292");
    expect(config.listen.tls.certFile).toBeUndefined();
    expect(config.upstream.url.href).toBe("http://127.0.0.1:9293/");
  });

  it("for kolla-ansible with uWSGI stays below its timeout, and takes over the certificate with backend TLS", async () => {
    const plain = installKolla("uwsgi", "[uwsgi]\nhttp-auto-chunked = true\nhttp = 127.0.0.1:9292\n");
    const { config } = await play(plain.playbook, KOLLA, plain.host);
    expect([address(config.listen.address), config.upstream.url.href]).toEqual([
      "192.0.2.7:9292",
      "http://127.0.0.1:9292/",
    ]);
    // Kolla's socket-timeout is 30 s.
    expect(config.limits.idleTimeoutMs).toBeLessThan(30_000);

    const tls = installKolla("uwsgi", "[uwsgi]\nhttps = 127.0.0.1:9292,/cert.pem,/key.pem\n");
    const encrypted = await play(tls.playbook, KOLLA, { ...tls.host, kolla_enable_tls_backend: true });
    expect(encrypted.config.upstream.url.href).toBe("https://127.0.0.1:9292/");
    expect(encrypted.config.upstream.tls.rejectUnauthorized).toBe(false);
    expect(address(encrypted.config.listen.address)).toBe("192.0.2.7:9292");
    for (const [key, name] of [
      ["certFile", "glance-cert.pem"],
      ["keyFile", "glance-key.pem"],
    ] as const) {
      expect(encrypted.config.listen.tls[key]).toBe(`/etc/glance-size-proxy/${name}`);
      expect(readFileSync(join(encrypted.into, name), "utf8")).toBe(name);
      expect(statSync(join(encrypted.into, name)).mode & 0o777).toBe(0o400);
    }
  });

  it("for kolla-ansible leaves alone a host on which Kolla runs no Glance", async () => {
    const { playbook, host } = installKolla("glance-api", MOVED_CONF);
    const { code, into } = await tryPlaying(playbook, KOLLA, { ...host, glance_api_hosts: ["another"] });
    expect([code, existsSync(join(into, "config.yaml"))]).toEqual([0, false]);
  });

  it.each([
    ["uwsgi", "[uwsgi]\nhttp = 192.0.2.7:9292\n", "Put group_vars/glance-api.yml beside the inventory"],
    [
      "glance-api",
      "[DEFAULT]\nbind_host = 192.0.2.7\nbind_port = 9292\n",
      "Put glance-api.conf into /etc/kolla/config/glance/",
    ],
  ] as const)(
    "for kolla-ansible stops if Kolla has not moved Glance (%s)",
    async (command, listener, words) => {
      const { playbook, host } = installKolla(command, listener);
      const played = await tryPlaying(playbook, KOLLA, host);
      expect(played.code).toBe(2);
      expect(complaintOf(played)).toContain(
        `Glance is configured to listen on 192.0.2.7:9292, and not on loopback. ${words}`,
      );
      expect(existsSync(join(played.into, "config.yaml"))).toBe(false);
    },
  );

  describe.each([
    [
      "kolla-ansible",
      () => {
        const { playbook, host } = installKolla("glance-api", MOVED_CONF);
        return {
          playbook,
          inventory: KOLLA,
          variables: (port: number) => ({ ...host, glance_api_listen_port: port }),
        };
      },
    ],
    [
      "OpenStack-Ansible",
      () => ({
        playbook: "deploy/openstack-ansible/glance-size-proxy.yml",
        inventory: OSA,
        variables: (port: number) => ({
          glance_size_proxy_config_overrides: { listen: { address: `127.0.0.1:${port}` } },
        }),
      }),
    ],
  ])("for %s", (_, prepare) => {
    it.each(["127.0.0.1", "0.0.0.0"])("stops if Glance still uses the port on %s", async (holder) => {
      const { playbook, inventory, variables } = prepare();
      const { port, release } = await holdPort(holder);
      try {
        const here = { ...variables(port), glance_size_proxy_address: "127.0.0.1" };
        const played = await tryPlaying(playbook, inventory, here, { check: true });
        expect(played.code).toBe(2);
        expect(complaintOf(played)).toMatch(
          new RegExp(
            `^127.0.0.1:${port}, where the proxy is to listen, is taken: LISTEN .*${holder}:${port} .*If that is Glance`,
          ),
        );
        expect(existsSync(join(played.into, "config.yaml"))).toBe(false);
        // On another address it may have the same port, as uWSGI has it in Kolla.
        const elsewhere = { ...here, ...variables(port), glance_size_proxy_address: "127.0.0.2" };
        if (holder === "127.0.0.1" && inventory === KOLLA) {
          await play(playbook, inventory, elsewhere, { check: true });
        }
      } finally {
        await release();
      }
    });
  });

  it("for OpenStack-Ansible installs our unit, and its variables agree with the configuration", async () => {
    const { config, unit } = await play("deploy/openstack-ansible/glance-size-proxy.yml", OSA, {
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
    expect(uwsgi["socket-timeout"] * 1000).toBeGreaterThan(config.limits.idleTimeoutMs);
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

  it("for OpenStack-Ansible listens on management_address, and believes HAProxy's address, if Ansible uses another network", async () => {
    const hosts = {
      here: "ansible_host=198.51.100.7 management_address=192.0.2.7",
      one: "management_address=192.0.2.101",
      two: "",
    };
    const { config } = await play("deploy/openstack-ansible/glance-size-proxy.yml", { ...OSA, ...hosts }, {});
    expect([config.listen.address, config.admin.address].map(address)).toEqual([
      "192.0.2.7:9292",
      "192.0.2.7:9190",
    ]);
    expect(config.forwarded.trust).toEqual(["192.0.2.101", "192.0.2.2"]);
  });

  it("for OpenStack-Ansible takes over Glance's certificate with backend TLS, and Glance speaks plain HTTP to it", async () => {
    const here = { here: "ansible_host=192.0.2.7" };
    const { config, into } = await play(
      "deploy/openstack-ansible/glance-size-proxy.yml",
      { ...OSA, ...here },
      { openstack_service_backend_ssl: true },
    );
    expect(config.upstream.url.href).toBe("http://127.0.0.1:9293/");
    const credentials = "/run/credentials/glance-size-proxy.service";
    expect(config.listen.tls).toMatchObject({
      certFile: `${credentials}/glance.pem`,
      keyFile: `${credentials}/glance.key`,
    });
    expect(readFileSync(join(into, "glance-size-proxy.service.d/tls.conf"), "utf8")).toBe(
      "[Service]\nLoadCredential=glance.pem:/etc/glance/glance.pem\nLoadCredential=glance.key:/etc/glance/glance.key\n",
    );
    const variables = readYaml<{
      glance_uwsgi_tls: object;
      haproxy_glance_api_service_overrides: Record<string, unknown>;
    }>("deploy/openstack-ansible/user_variables_glance_size_proxy.yml");
    expect(variables.glance_uwsgi_tls).toEqual({});
    // HAProxy speaks TLS to the proxy as it did to Glance, and plain HTTP to its admin address.
    expect(variables.haproxy_glance_api_service_overrides).toMatchObject({
      haproxy_backend_ssl_check: false,
    });
    expect(variables.haproxy_glance_api_service_overrides).not.toHaveProperty("haproxy_backend_ssl");
  });
});

describe("the script for DevStack", () => {
  it("puts the proxy between Apache and Glance, even if stack.sh runs again", async () => {
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
  it("finds nothing wrong with our scripts", () => {
    const scripts = execFileSync("git", ["ls-files", "*.sh", ".ci/run"], { encoding: "utf8" })
      .trim()
      .split("\n");
    expect(scripts).toContain("deploy/devstack/local.sh");
    expect(execFileSync("/usr/bin/shellcheck", scripts, { encoding: "utf8" })).toBe("");
  });
});
