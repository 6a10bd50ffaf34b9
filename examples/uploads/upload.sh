#!/bin/sh
# Uploads an image file with its digest: the proxy refuses the upload with 400 if a byte changes on the way.
# Usage: OS_IMAGE_URL=http://127.0.0.1:9292 OS_TOKEN=... ./upload.sh IMAGE_ID FILE
set -eu

digest=$(openssl dgst -sha256 -binary "$2" | base64)

# -T sends Content-Length, so the size is declared. --fail-with-body makes curl exit with 22 if the upload is refused.
curl --silent --show-error --fail-with-body -T "$2" \
  -H "X-Auth-Token: ${OS_TOKEN-}" \
  -H "Content-Type: application/octet-stream" \
  -H "Content-Digest: sha-256=:$digest:" \
  "${OS_IMAGE_URL:-http://127.0.0.1:9292}/v2/images/$1/file"
