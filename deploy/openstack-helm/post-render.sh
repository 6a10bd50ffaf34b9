#!/usr/bin/env bash
# Helm's post-renderer for openstack-helm's Glance: adds the container of sidecar.yaml to the pod and keeps all others.
#
#   Helm 3: --post-renderer ./post-render.sh
#   Helm 4: helm plugin install deploy/openstack-helm, then --post-renderer glance-size-proxy (plugin.yaml is for that)
#
# It needs kubectl, but no cluster. It refuses a pod in which the proxy could not work, and says why.
set -euo pipefail
sidecar=$(dirname "$(realpath "$0")")/sidecar.yaml
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/rendered.yaml"

fail() {
  echo "glance-size-proxy: $*" >&2
  exit 1
}

# read_out JSONPATH: one line for each object that was rendered
read_out() {
  KUBECONFIG=/dev/null kubectl patch --local --filename "$work/rendered.yaml" --type merge --patch '{}' \
    --output "jsonpath={.kind}/{.metadata.name} $1{'\n'}"
}

# value_of OBJECT LINES
value_of() { sed -n "s|^$1 ||p" <<<"$2"; }

containers=$(read_out '{.spec.template.spec.containers[*].name}')
grep -q '^Deployment/glance-api ' <<<"$containers" || fail "the chart renders no Deployment named glance-api."
containers=" $(value_of Deployment/glance-api "$containers") "

socket=$(value_of Secret/glance-etc "$(read_out '{.data.glance-api-uwsgi\.ini}')" | base64 -d | sed -n 's/^http-socket *= *//p')
[ "$socket" = 127.0.0.1:9293 ] || [ -z "$socket" ] ||
  fail "Glance's uWSGI is to listen on $socket. Name glance-size-proxy.yaml after all other --values."

# The chart sends the service to a TLS sidecar, which another list of pod.extraContainers may have replaced.
target=$(value_of Service/glance-api "$(read_out '{.spec.ports[0].targetPort}')")
ports=" $(value_of Deployment/glance-api "$(read_out '{.spec.template.spec.containers[*].ports[*].containerPort}')") "
[ -z "$target" ] || [[ $ports == *" $target "* ]] ||
  fail "the service goes to port $target, and no container of the pod has it. Leave out --values sidecar.yaml."

# The nginx of manifests.certificates listens on port 9292 of the pod's address and forwards to 127.0.0.1:9292.
patches='{ path: sidecar.yaml }'
if [[ $containers == *" nginx "* ]]; then
  patches+=', { path: loopback.yaml }'
fi

# pod LINES: a patch of Glance's deployment
pod() {
  printf 'apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: glance-api\nspec:\n  template:\n    spec:\n      containers:\n'
  cat
}
sed '1,/^    glance_api:$/d; s/^/  /' "$sidecar" | pod >"$work/sidecar.yaml"
pod >"$work/loopback.yaml" <<'PATCH'
        - name: glance-size-proxy
          env:
            - name: GLANCE_SIZE_PROXY_LISTEN
              value: 127.0.0.1:9292
PATCH
printf 'resources: [rendered.yaml]\npatches: [%s]\n' "$patches" >"$work/kustomization.yaml"
kubectl kustomize "$work"
