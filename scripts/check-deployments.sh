#!/usr/bin/env bash
# Holds deploy/ and docs/deployment.md against the deployment tools that they are for. See --help.
set -euo pipefail
project=$(cd "$(dirname "$0")/.." && pwd)
here=$project/scripts/check-deployments

usage() {
  cat <<'USAGE'
Usage: scripts/check-deployments.sh NAME DIR

Renders the templates of a deployment tool from the checkout DIR, with the files of deploy/ that are for it, and compares what both
sides say: addresses, ports, TLS, timeouts, paths, names of variables. It changes nothing in DIR, and needs no network.

NAME               DIR
kolla-ansible      a checkout of openstack/kolla-ansible
openstack-helm     a checkout of openstack/openstack-helm
openstack-ansible  a folder with checkouts of openstack-ansible, openstack-ansible-os_glance, openstack-ansible-haproxy_server and
                   ansible-role-uwsgi, each under its own name
charm-glance       a checkout of openstack/charm-glance
glance-operator    a checkout of openstack-k8s-operators/glance-operator

It needs Debian's ansible-core for kolla-ansible and openstack-ansible, python3-oslo.config and python3-pbr for kolla-ansible,
helm3, kubectl and `npm ci` for openstack-helm, and python3-jinja2 for charm-glance.

Exit code 0: nothing differs; a line says what was compared, and with which commit.
Exit code 1: something differs, or could not be rendered; one line for each difference.
Exit code 2: wrong arguments.
USAGE
}

case ${1-} in --help | -h)
  usage
  exit 0
  ;;
esac
if [ $# -ne 2 ]; then
  usage >&2
  exit 2
fi
name=$1
if ! dir=$(cd "$2" 2>/dev/null && pwd); then
  echo "$2: no such folder" >&2
  exit 2
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
differences=$work/differences
touch "$differences"
scenarios=0

# differs SCENARIO WORDS...
differs() { echo "$1: ${*:2}" >>"$differences"; }

# expect SCENARIO WHAT WANTED GOT
expect() { [ "$3" = "$4" ] || differs "$1" "$2: expected \"$3\", found \"$4\""; }

# commit_of CHECKOUT
commit_of() {
  if [ "$(git -C "$1" rev-parse --show-toplevel 2>/dev/null)" = "$(realpath "$1")" ]; then
    git -C "$1" rev-parse --short=12 HEAD
  else
    echo "an unknown commit"
  fi
}

# need FILE...: what every checkout of this kind has
need() {
  local file
  for file; do
    if [ ! -e "$dir/$file" ]; then
      echo "$dir does not look like a checkout for $name: it has no $file" >&2
      exit 2
    fi
  done
}

# playbook SCENARIO ARGUMENTS...: ansible-playbook, whose failure is a difference
playbook() {
  local scenario=$1
  shift
  scenarios=$((scenarios + 1))
  # Debian's Python, which has Debian's ansible-core; another may come first in PATH.
  if ! PATH=/usr/bin:/bin:$PATH HOME=$work ANSIBLE_TRANSFORM_INVALID_GROUP_CHARS=ignore ANSIBLE_NOCOLOR=1 \
    ANSIBLE_PIPELINING=1 ANSIBLE_MODULE_COMPRESSION=ZIP_STORED \
    ansible-playbook \
    --extra-vars "$(printf '{"scenario": "%s", "difference_file": "%s", "out": "%s"}' "$scenario" "$differences" "$work/out")" \
    "$@" >"$work/log" 2>&1; then
    # The end of the message has the reason; what is before it may be pages of variables.
    differs "$scenario" "$(sed -nE 's/^fatal: .*"msg": "(.*)".*/\1/p; s/^ERROR! //p' "$work/log" | head -1 | sed 's/\\"/"/g' | tail -c 700)"
  fi
}

# secrets FILE: a file of variables with a value for every key of FILE
secrets() { sed -nE 's/^([a-z0-9_]+):.*/\1: secret/p' "$1"; }

kolla_ansible() {
  need ansible/group_vars ansible/roles/glance etc/kolla/passwords.yml
  local tls path deploy=$project/deploy/kolla-ansible
  # Kolla's folder of playbooks, with two more in it.
  mkdir -p "$work/ansible" "$work/inventory/group_vars" "$work/custom/glance" "$work/certificates"
  for path in "$dir"/ansible/*; do ln -s "$path" "$work/ansible/"; done
  cp "$here/kolla-ansible.yml" "$deploy/glance-size-proxy.yml" "$work/ansible/"
  # Ours go where the guide says.
  cp "$deploy/group_vars/glance-api.yml" "$work/inventory/group_vars/"
  cp "$deploy/glance-api.conf" "$work/custom/glance/"
  touch "$work/certificates/glance-cert.pem" "$work/certificates/glance-key.pem"
  secrets "$dir/etc/kolla/passwords.yml" >"$work/passwords.yml"
  cat >"$work/inventory/hosts" <<'INVENTORY'
[glance-api]
glance1 api_address=192.0.2.7
[loadbalancer]
balancer1 api_address=192.0.2.1
[tls-backend:children]
glance-api
[memcached:children]
glance-api
[rabbitmq:children]
glance-api
[all:vars]
ansible_connection=local
ansible_become=false
ansible_python_interpreter=/usr/bin/python3
INVENTORY
  cat >"$work/globals.yml" <<GLOBALS
enable_glance: true
project_name: glance
network_interface: eth0
kolla_same_external_internal_vip: true
kolla_internal_vip_address: 192.0.2.100
node_config_directory: "{{ out }}"
node_custom_config: $work/custom
kolla_certificates_dir: $work/certificates
config_owner_user: "$(id -u)"
config_owner_group: "$(id -g)"
glance_size_proxy_image: registry.example.org/glance-size-proxy
glance_size_proxy_etc: "{{ out }}/proxy"
glance_size_proxy_units: "{{ out }}/proxy"
glance_size_proxy_uid: "$(id -u)"
GLOBALS
  for tls in false true; do
    rm -rf "$work/out"
    mkdir "$work/out"
    PBR_VERSION=0.0.1 PYTHONPATH=$dir PYTHONDONTWRITEBYTECODE=1 playbook "glance_enable_tls_backend $tls" \
      --inventory "$work/inventory/hosts" --extra-vars "@$work/passwords.yml" --extra-vars "@$work/globals.yml" \
      --extra-vars "{\"kolla_enable_tls_backend\": $tls}" --skip-tags check,service "$work/ansible/kolla-ansible.yml"
  done
  checked="kolla-ansible at $(commit_of "$dir")"
}

openstack_ansible() {
  local repository tls host=198.51.100.7
  for repository in openstack-ansible openstack-ansible-os_glance openstack-ansible-haproxy_server ansible-role-uwsgi; do
    need "$repository"
    checked+="${checked:+, }$repository at $(commit_of "$dir/$repository")"
  done
  # Before 2025.2 HAProxy goes to ansible_host, while services listen on management_address: there they are the same.
  grep -q management_address "$dir/openstack-ansible-haproxy_server/templates/service.j2" || host=192.0.2.7
  mkdir "$work/inventory"
  ln -s "$dir/openstack-ansible/inventory/group_vars" "$work/inventory/group_vars"
  secrets "$dir/openstack-ansible/etc/openstack_deploy/user_secrets.yml" >"$work/secrets.yml"
  cat >"$work/inventory/hosts" <<INVENTORY
[glance_all:children]
glance_api
[glance_api]
glance1 ansible_host=$host management_address=192.0.2.7
[haproxy]
balancer1 ansible_host=198.51.100.1 management_address=192.0.2.1
$(printf '[%s:children]\nhaproxy\n' haproxy_all memcached rabbitmq_all galera_all keystone_all repo_all)
[all:vars]
ansible_connection=local
ansible_become=false
ansible_python_interpreter=/usr/bin/python3
INVENTORY
  cat >"$work/variables.yml" <<VARIABLES
upstream: $dir
external_lb_vip_address: 203.0.113.1
internal_lb_vip_address: 192.0.2.100
glance_size_proxy_etc: "{{ out }}"
glance_size_proxy_units: "{{ out }}"
VARIABLES
  for tls in false true; do
    rm -rf "$work/out"
    mkdir "$work/out"
    playbook "openstack_service_backend_ssl $tls" \
      --inventory "$work/inventory/hosts" --extra-vars "@$work/secrets.yml" --extra-vars "@$work/variables.yml" \
      --extra-vars "@$project/deploy/openstack-ansible/user_variables_glance_size_proxy.yml" \
      --extra-vars "{\"openstack_service_backend_ssl\": $tls}" --skip-tags check,service,package "$here/openstack-ansible.yml"
  done
}

openstack_helm() {
  need glance/Chart.yaml glance/values.yaml helm-toolkit/Chart.yaml values_overrides/glance
  local overrides scenario deploy=$project/deploy/openstack-helm
  cp -r "$dir/glance" "$work/glance"
  mkdir -p "$work/glance/charts"
  cp -r "$dir/helm-toolkit" "$work/glance/charts/"
  # template FILE ARGUMENTS...
  template() {
    local file=$1
    shift
    HOME=$work helm3 template glance "$work/glance" "$@" >"$file" 2>"$work/errors" || {
      differs "$scenario" "$(tr '\n' ' ' <"$work/errors")"
      return 1
    }
  }
  for overrides in /dev/null "$dir"/values_overrides/glance/*tls*.yaml; do
    scenario=$(basename "$overrides" | sed 's/^null$/the chart alone/')
    scenarios=$((scenarios + 1))
    template "$work/before.yaml" --values "$overrides" || continue
    template "$work/after.yaml" --values "$overrides" --values "$deploy/glance-size-proxy.yaml" \
      --post-renderer "$deploy/post-render.sh" || continue
    node "$here/openstack-helm.mjs" "$scenario" "$work/before.yaml" "$work/after.yaml" >>"$differences"
  done
  if grep -q extraContainers "$dir/glance/values.yaml"; then
    scenario="sidecar.yaml as values"
    scenarios=$((scenarios + 1))
    if template "$work/before.yaml" && template "$work/after.yaml" --values "$deploy/glance-size-proxy.yaml" --values "$deploy/sidecar.yaml"; then
      node "$here/openstack-helm.mjs" "$scenario" "$work/before.yaml" "$work/after.yaml" >>"$differences"
    fi
  fi
  checked="openstack-helm at $(commit_of "$dir")"
}

charm_glance() {
  need config.yaml hooks/glance_contexts.py charmhelpers/contrib/openstack/templates/haproxy.cfg
  scenarios=1
  /usr/bin/python3 "$here/charm-glance.py" "$dir" >>"$differences" 2>"$work/errors" || differs "the charm" "$(tail -1 "$work/errors")"
  checked="charm-glance at $(commit_of "$dir")"
}

glance_operator() {
  need templates/common/config/10-glance-wsgi.conf api/bases
  local vhost=$dir/templates/common/config/10-glance-wsgi.conf crd
  crd=$(ls "$dir"/api/bases/glance.openstack.org_glances.yaml)
  scenarios=1
  expect httpd "the address that it listens on" "*:9292" "$(sed -nE 's/^<VirtualHost (.*)>$/\1/p' "$vhost")"
  expect httpd "the folder of its own directives" conf_custom "$(sed -nE 's/^ *IncludeOptional (.*)\/\*\.conf$/\1/p' "$vhost")"
  expect httpd "its timeout" "{{ \$vhost.TimeOut }}" "$(sed -nE 's/^ *Time[oO]ut (.*)$/\1/p' "$vhost")"
  expect httpd "its limit of a body" 0 "$(sed -nE 's/^ *LimitRequestBody (.*)$/\1/p' "$vhost")"
  local key
  for key in apiTimeout endpointURL extraMounts keystoneEndpoint; do
    expect "the resource Glance" "the key $key" "$key" "$(grep -oE "^ +$key:" "$crd" | head -1 | tr -d ' :')"
  done
  checked="glance-operator at $(commit_of "$dir")"
}

checked=
case $name in
kolla-ansible | openstack-helm | openstack-ansible | charm-glance | glance-operator) "${name//-/_}" ;;
*)
  echo "$name is none of the names in --help" >&2
  exit 2
  ;;
esac

if [ -s "$differences" ]; then
  cat "$differences"
  exit 1
fi
echo "$checked: $scenarios configurations compared with deploy/, nothing differs"
