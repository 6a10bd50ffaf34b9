/** scripts/check-deployments.sh against stand-ins for checkouts: it finds nothing if all is as we take it, and otherwise what is not. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { describeWith } from "../support/requirements.js";
import { type CommandResult, run } from "../support/run.js";
import { writeKolla } from "./stand-in-kolla.js";

const SCRIPT = "scripts/check-deployments.sh";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "checkout-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function write(files: Record<string, string>): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
}
function change(path: string, before: string, after: string): void {
  const text = readFileSync(join(folder, path), "utf8");
  expect(text).toContain(before);
  writeFileSync(join(folder, path), text.replaceAll(before, after));
}
function check(name: string): Promise<CommandResult> {
  const path = `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`;
  return run(SCRIPT, [name, folder], { env: { PATH: path } });
}
const lines = ({ code, stdout, stderr }: CommandResult) => ({
  code,
  lines: stdout.trim().split("\n"),
  stderr,
});

describe("the arguments", () => {
  it("--help names every tool", async () => {
    const { code, stdout } = await run(SCRIPT, ["--help"]);
    expect(code).toBe(0);
    for (const name of [
      "kolla-ansible",
      "openstack-helm",
      "openstack-ansible",
      "charm-glance",
      "glance-operator",
    ]) {
      expect(stdout).toMatch(new RegExp(`^${name} `, "m"));
    }
  });

  it.each([
    ["no argument", [], "Usage: "],
    ["no folder", ["kolla-ansible"], "Usage: "],
    ["an unknown name", ["kolla", "."], "kolla is none of the names in --help"],
    ["a folder that is not there", ["kolla-ansible", "/nowhere"], "/nowhere: no such folder"],
    ["another folder", ["kolla-ansible", "src"], "does not look like a checkout for kolla-ansible"],
  ])("%s ends with code 2", async (_, args, words) => {
    const { code, stdout, stderr } = await run(SCRIPT, args);
    expect([code, stdout, stderr]).toEqual([2, "", expect.stringContaining(words)]);
  });
});

describeWith(["ansible"], "kolla-ansible", () => {
  const UWSGI = "ansible/roles/service-uwsgi-config/templates/uwsgi.ini.j2";

  it("says what was compared, and with which commit", async () => {
    writeKolla(folder);
    const git = (...args: string[]) =>
      run("/usr/bin/git", ["-C", folder, "-c", "user.name=a", "-c", "user.email=a@example.org", ...args]);
    await git("init", "--quiet");
    await git("add", ".");
    await git("commit", "--quiet", "--message", "all");
    const { stdout: commit } = await git("rev-parse", "--short=12", "HEAD");
    expect(lines(await check("kolla-ansible"))).toEqual({
      code: 0,
      lines: [`kolla-ansible at ${commit.trim()}: 2 configurations compared with deploy/, nothing differs`],
      stderr: "",
    });
  });

  it("finds another timeout of uWSGI, in each configuration", async () => {
    writeKolla(folder);
    change(UWSGI, "socket-timeout = 30", "socket-timeout = 10\nhttp-timeout = 60");
    const { code, lines: found } = lines(await check("kolla-ansible"));
    expect([code, found.length]).toEqual([1, 4]);
    expect(found[0]).toMatch(
      /^glance_enable_tls_backend false: uWSGI's socket-timeout .*: expected "30", found "10"$/,
    );
    expect(found[1]).toMatch(/ expected "", found "http-timeout = 60"$/);
    expect(found[2]).toMatch(/^glance_enable_tls_backend true: /);
  });

  it("finds that a variable has another name: Glance does not move, and our playbook says so", async () => {
    writeKolla(folder);
    change("ansible/roles/service-uwsgi-config/defaults/main.yml", "service_uwsgi_config_host", "uwsgi_host");
    change(UWSGI, "service_uwsgi_config_host", "uwsgi_host");
    const { code, lines: found } = lines(await check("kolla-ansible"));
    expect([code, found[0]]).toEqual([
      1,
      expect.stringContaining("Glance is configured to listen on 192.0.2.7:9292, and not on loopback."),
    ]);
  });
});

describeWith(["helm"], "openstack-helm", () => {
  function writeCharts(): void {
    const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: glance-api }
spec:
  template:
    spec:
      terminationGracePeriodSeconds: {{ .Values.pod.lifecycle.termination_grace_period.api.timeout }}
      containers:
        - name: glance-api
          readinessProbe: { httpGet: { port: 9292 } }
{{- range .Values.pod.extraContainers.glance_api }}
        - {{ . | toYaml | indent 10 | trim }}
{{- end }}
---
apiVersion: v1
kind: Secret
metadata: { name: glance-etc }
data:
  glance-api-uwsgi.ini: {{ include "ini" .Values.conf.glance_api_uwsgi.uwsgi | b64enc }}
---
apiVersion: v1
kind: Service
metadata: { name: glance-api }
spec: { ports: [{ name: g-api, port: 9292{{ with .Values.network.api.target_port }}, targetPort: {{ . }}{{ end }} }] }
`;
    write({
      "helm-toolkit/Chart.yaml": "apiVersion: v2\nname: helm-toolkit\nversion: 1.0.0\n",
      "helm-toolkit/templates/_ini.tpl":
        '{{- define "ini" }}{{ range $key, $value := . }}{{ $key }} = {{ $value }}\n{{ end }}{{ end }}\n',
      "glance/Chart.yaml":
        "apiVersion: v2\nname: glance\nversion: 1.0.0\ndependencies: [{ name: helm-toolkit, repository: file://../helm-toolkit, version: 1.0.0 }]\n",
      "glance/values.yaml":
        "pod: { extraContainers: { glance_api: [] }, lifecycle: { termination_grace_period: { api: { timeout: 30 } } } }\n" +
        "network: { api: { target_port: null } }\nconf: { glance_api_uwsgi: { uwsgi: { http-socket: '0.0.0.0:9292' } } }\n",
      "glance/templates/all.yaml": deployment,
      "values_overrides/glance/tls.yaml":
        "network: { api: { target_port: 443 } }\npod: { extraContainers: { glance_api: [{ name: nginx-tls, ports: [{ containerPort: 443 }] }] } }\n",
    });
  }

  it("says what was compared", async () => {
    writeCharts();
    expect(lines(await check("openstack-helm"))).toEqual({
      code: 0,
      lines: ["openstack-helm at an unknown commit: 3 configurations compared with deploy/, nothing differs"],
      stderr: "",
    });
  });

  it("finds another key of uWSGI's address, and a pod that ends sooner", async () => {
    writeCharts();
    change(
      "helm-toolkit/templates/_ini.tpl",
      "{{ $key }} =",
      '{{ $key | replace "http-socket" "socket" }} =',
    );
    change(
      "glance/templates/all.yaml",
      "{{ .Values.pod.lifecycle.termination_grace_period.api.timeout }}",
      "30",
    );
    const { code, lines: found } = lines(await check("openstack-helm"));
    expect(code).toBe(1);
    expect(found).toContain(
      'the chart alone: the address that Glance\'s uWSGI listens on: expected "127.0.0.1:9293", found undefined',
    );
    expect(found).toContain("tls.yaml: the pod's time to end: expected 3660, found 30");
  });
});

describeWith(["ansible"], "openstack-ansible", () => {
  function writeRoles(): void {
    write({
      "openstack-ansible/etc/openstack_deploy/user_secrets.yml": "glance_password:\n",
      "openstack-ansible/inventory/group_vars/all.yml": "haproxy_port: 9292\n",
      "openstack-ansible/inventory/group_vars/glance_all.yml": `
haproxy_glance_api_service:
  haproxy_balance_alg: source
  haproxy_backend_ssl: "{{ glance_backend_ssl | default(openstack_service_backend_ssl) }}"
  haproxy_backend_nodes: "{{ groups['glance_api'] }}"
glance_haproxy_services: ["{{ haproxy_glance_api_service | combine(haproxy_glance_api_service_overrides) }}"]
`,
      "ansible-role-uwsgi/defaults/main.yml": "---\n{}\n",
      "ansible-role-uwsgi/vars/debian.yml": "---\n{}\n",
      "ansible-role-uwsgi/templates/uwsgi.ini.j2": `[uwsgi]
{{ item.value.uwsgi_tls | length | ternary('https-socket', 'http-socket') }} = {{ item.value.uwsgi_bind_address }}:{{ item.value.uwsgi_port }}
socket-timeout = 10
`,
      "openstack-ansible-os_glance/defaults/main.yml": `
glance_backend_ssl: "{{ openstack_service_backend_ssl | default(false) }}"
glance_ssl_cert: /etc/glance/glance.pem
glance_ssl_key: /etc/glance/glance.key
glance_uwsgi_tls: { crt: "{{ glance_ssl_cert }}" }
`,
      "openstack-ansible-os_glance/vars/main.yml": `
uwsgi_glance_services:
  glance-api:
    uwsgi_overrides: "{{ glance_api_uwsgi_ini_overrides }}"
    uwsgi_bind_address: "{{ glance_api_bind_address }}"
    uwsgi_port: "{{ glance_api_service_port }}"
    uwsgi_tls: "{{ glance_backend_ssl | ternary(glance_uwsgi_tls, {}) }}"
`,
      "openstack-ansible-os_glance/vars/source_install.yml": "---\n{}\n",
      "openstack-ansible-os_glance/templates/glance-api.conf.j2":
        "[DEFAULT]\nworker_self_reference_url = http://{{ glance_api_bind_address }}\n",
      "openstack-ansible-haproxy_server/defaults/main.yml": "---\n{}\n",
      "openstack-ansible-haproxy_server/vars/main.yml": "---\n{}\n",
      "openstack-ansible-haproxy_server/vars/debian.yml": "---\n{}\n",
      "openstack-ansible-haproxy_server/templates/service.j2": `backend glance_api-back
    balance {{ service.haproxy_balance_alg }}
    timeout client {{ service.haproxy_timeout_client }}
    timeout server {{ service.haproxy_timeout_server }}
    option {{ service.haproxy_backend_options | first }}
    http-check {{ service.haproxy_backend_httpcheck_options | first }}
{% for host in service.haproxy_backend_nodes %}
    server {{ host }} {{ hostvars[host].management_address }}:{{ haproxy_port }} check port {{ service.haproxy_check_port
      }}{% if service.haproxy_backend_ssl | bool %} ssl{% if service.haproxy_backend_ssl_check | default(true) %} check-ssl{% endif %}{% endif %}

{% endfor %}
`,
    });
  }

  it("says what was compared", async () => {
    writeRoles();
    const { code, lines: found } = lines(await check("openstack-ansible"));
    expect([code, found]).toEqual([
      0,
      [expect.stringMatching(/ansible-role-uwsgi at .*: 2 configurations compared/)],
    ]);
  });

  it("finds members of HAProxy on another network, and a Glance that keeps TLS", async () => {
    writeRoles();
    change(
      "openstack-ansible-haproxy_server/templates/service.j2",
      "].management_address",
      "].ansible_host | default(hostvars[host].management_address)",
    );
    change(
      "openstack-ansible-os_glance/vars/main.yml",
      "glance_uwsgi_tls",
      "{'crt': '/etc/glance/glance.pem'}",
    );
    const { code, lines: found } = lines(await check("openstack-ansible"));
    expect(code).toBe(1);
    expect(found).toContain(
      'openstack_service_backend_ssl false: the address that HAProxy\'s member has: expected "192.0.2.7:9292", found "198.51.100.7:9292"',
    );
    expect(found).toContain(
      'openstack_service_backend_ssl true: the address that Glance\'s uWSGI listens on: expected "http-socket 127.0.0.1:9293", found "https-socket 127.0.0.1:9293"',
    );
  });
});

describeWith(["ansible"], "charm-glance and glance-operator", () => {
  it("charm-glance: finds that flags no longer come last", async () => {
    write({
      "config.yaml": "options:\n  api-config-flags:\n  haproxy-client-timeout:\n  haproxy-server-timeout:\n",
      "hooks/glance_contexts.py":
        "determine_apache_port(9292, singlenode_mode=True)\ndetermine_api_port(9292, singlenode_mode=True)\n",
      "charmhelpers/contrib/hahelpers/cluster.py":
        "    return public_port - (i * 10)\n    return public_port - (i * 10)\n",
      "charmhelpers/contrib/openstack/templates/haproxy.cfg": `    timeout client {{ haproxy_client_timeout }}
    timeout server {{ haproxy_server_timeout }}
    server glance-0 {{ default_backend }}:{{ service_ports.glance_api[1] }} check
`,
      "templates/yoga/glance-api.conf": `[DEFAULT]
bind_host = {{ bind_host }}
bind_port = {{ bind_port }}
{% for key, value in api_config_flags.items() -%}
{{ key }} = {{ value }}
{% endfor -%}
`,
    });
    expect(lines(await check("charm-glance")).code).toBe(0);
    const template = join(folder, "templates/yoga/glance-api.conf");
    writeFileSync(template, `${readFileSync(template, "utf8")}bind_port = {{ bind_port }}\n`);
    expect(lines(await check("charm-glance"))).toEqual({
      code: 1,
      lines: ["the charm: bind_port with api-config-flags: expected 9271, found 9282"],
      stderr: "",
    });
  });

  it("glance-operator: finds another port of httpd, and a key that is gone", async () => {
    write({
      "templates/common/config/10-glance-wsgi.conf":
        "<VirtualHost *:9292>\n  Timeout {{ $vhost.TimeOut }}\n  LimitRequestBody 0\n  IncludeOptional conf_custom/*.conf\n",
      "api/bases/glance.openstack.org_glances.yaml":
        "    apiTimeout:\n    endpointURL:\n    extraMounts:\n    keystoneEndpoint:\n",
    });
    expect(lines(await check("glance-operator")).code).toBe(0);
    change("templates/common/config/10-glance-wsgi.conf", "9292", "9393");
    change("api/bases/glance.openstack.org_glances.yaml", "endpointURL", "endpoint");
    expect(lines(await check("glance-operator"))).toEqual({
      code: 1,
      lines: [
        'httpd: the address that it listens on: expected "*:9292", found "*:9393"',
        'the resource Glance: the key endpointURL: expected "endpointURL", found ""',
      ],
      stderr: "",
    });
  });
});
