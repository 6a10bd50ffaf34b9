#!/usr/bin/env bash
# Helm's post-renderer for a Glance chart without pod.extraContainers: puts the sidecar of glance-size-proxy.yaml into the pod.
# Helm 3 takes it as it is; for Helm 4 it has to be packed as a plugin.
set -euo pipefail
values=$(dirname "$0")/glance-size-proxy.yaml
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/rendered.yaml"
{
  printf 'apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: glance-api\nspec:\n  template:\n    spec:\n      containers:\n'
  sed '1,/^    glance_api:$/d; s/^/  /' "$values"
} >"$work/sidecar.yaml"
printf 'resources: [rendered.yaml]\npatches: [{ path: sidecar.yaml }]\n' >"$work/kustomization.yaml"
kubectl kustomize "$work"
