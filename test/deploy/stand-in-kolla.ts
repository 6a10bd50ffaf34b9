/** In place of a checkout of kolla-ansible: as much of it as our playbook and scripts/check-deployments.sh take from it. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const GROUP_VARS = `
api_interface_address: "{{ 'api' | kolla_address }}"
glance_api_listen_port: 9292
kolla_container_engine: env # a program that is here
container_proxy: { no_proxy: localhost }
glance_enable_tls_backend: "{{ kolla_enable_tls_backend | default(false) }}"
`;

const ADDRESS_FILTERS = `
ADDRESSES = {"one": "192.0.2.1", "two": "192.0.2.2", "balancer1": "192.0.2.1"}
class FilterModule:
    def filters(self):
        return {
            "kolla_address": lambda network, host=None: ADDRESSES.get(host, "192.0.2.7"),
            "put_address_in_context": lambda address, context: f"[{address}]" if ":" in address else address,
        }
`;

const GLANCE_DEFAULTS = `
glance_api_container_proxy: "{{ container_proxy }}"
haproxy_members: >-
  server glance1 192.0.2.7:{{ glance_api_listen_port }} check{% if glance_enable_tls_backend | bool %} ssl verify required{% endif %};
glance_services:
  glance-api:
    environment: "{{ glance_api_container_proxy }}"
    haproxy:
      glance_api: { frontend_http_extra: [timeout client 6h], backend_http_extra: [timeout server 6h] }
`;

const GLANCE_CONFIG = `
- ansible.builtin.file: { path: "{{ node_config_directory }}/glance-api", state: directory, mode: "0755" }
- ansible.builtin.copy:
    content: '{"command": "uwsgi /etc/glance/glance-api-uwsgi.ini"}'
    dest: "{{ node_config_directory }}/glance-api/config.json"
    mode: "0644"
- ansible.builtin.copy:
    src: "{{ kolla_certificates_dir }}/{{ item }}"
    dest: "{{ node_config_directory }}/glance-api/{{ item }}"
    mode: "0600"
  loop: [glance-cert.pem, glance-key.pem]
- ansible.builtin.include_role:
    name: service-uwsgi-config
  vars:
    service_name: glance-api
    service_uwsgi_config_file: "{{ node_config_directory }}/glance-api/glance-api-uwsgi.ini"
    service_uwsgi_config_http_port: "{{ glance_api_listen_port }}"
    service_uwsgi_config_tls_backend: "{{ glance_enable_tls_backend }}"
`;

const UWSGI_INI = `[uwsgi]
http-auto-chunked = true
{% if service_uwsgi_config_tls_backend | bool %}
https = {{ service_uwsgi_config_host }}:{{ service_uwsgi_config_http_port }},/cert.pem,/key.pem
{% else %}
http = {{ service_uwsgi_config_host }}:{{ service_uwsgi_config_http_port }}
{% endif %}
socket-timeout = 30
`;

/** Writes a checkout of a release with uWSGI into a folder, and returns its folder of playbooks. */
export function writeKolla(folder: string): string {
  const files: Record<string, string> = {
    "etc/kolla/passwords.yml": "---\nglance_database_password:\n",
    "ansible/gather-facts.yml": "- hosts: all\n  gather_facts: false\n  tasks: []\n",
    "ansible/group_vars/all.yml": GROUP_VARS,
    "ansible/filter_plugins/address.py": ADDRESS_FILTERS,
    "ansible/roles/glance/defaults/main.yml": GLANCE_DEFAULTS,
    "ansible/roles/glance/tasks/config.yml": GLANCE_CONFIG,
    "ansible/roles/service-uwsgi-config/defaults/main.yml":
      "service_uwsgi_config_host: \"{{ api_interface_address | put_address_in_context('url') }}\"\nservice_uwsgi_config_tls_backend: false\n",
    "ansible/roles/service-uwsgi-config/tasks/main.yml":
      '- ansible.builtin.template: { src: uwsgi.ini.j2, dest: "{{ service_uwsgi_config_file }}", mode: "0644" }\n',
    "ansible/roles/service-uwsgi-config/templates/uwsgi.ini.j2": UWSGI_INI,
  };
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return join(folder, "ansible");
}

/** What Kolla writes on a host of Glance: how its container is started, and the file that says where Glance listens. */
export function writeGlanceOfKolla(folder: string, command: "glance-api" | "uwsgi", listener: string): void {
  mkdirSync(join(folder, "glance-api"), { recursive: true });
  const file = command === "uwsgi" ? "glance-api-uwsgi.ini" : "glance-api.conf";
  const line = command === "uwsgi" ? `uwsgi /etc/glance/${file}` : command;
  writeFileSync(join(folder, "glance-api/config.json"), JSON.stringify({ command: line }));
  writeFileSync(join(folder, "glance-api", file), listener);
  for (const name of ["glance-cert.pem", "glance-key.pem"]) {
    writeFileSync(join(folder, "glance-api", name), name);
  }
}
