#!/usr/bin/env bash
# Install the package (`npm pack`, then `npm install --global ./glance-size-proxy-0.1.0.tgz`), then copy this file beside stack.sh:
# DevStack runs local.sh at the end of stack.sh.
# DevStack's Apache serves /image from Glance's uWSGI on a random port. This script puts the proxy in between.
set -euo pipefail

uwsgi=${GLANCE_UWSGI_CONF:-/etc/glance/glance-uwsgi.ini}
sites=${APACHE_CONF_DIR:-/etc/apache2/sites-available}
apache=${APACHE_NAME:-apache2}
listen=127.0.0.1:19293

glance=$(sed -nE 's/^http(-socket)? *= *(127\.0\.0\.1:[0-9]+) *$/\2/p' "$uwsgi")
site=$(grep -lE "^ProxyPass .*http://$glance\"" "$sites"/*.conf)

# A proxy left by an earlier stack.sh uses Glance's old port.
sudo systemctl stop glance-size-proxy 2>/dev/null || true
sudo systemd-run --unit glance-size-proxy --collect --property DynamicUser=yes --property Restart=on-failure \
  --setenv GLANCE_SIZE_PROXY_FORWARDED__TRUST=127.0.0.1 \
  "$(command -v glance-size-proxy)" --upstream "http://$glance" --listen "$listen"
sudo sed -i -E "/^ProxyPass /s|http://$glance\"|http://$listen\"|" "$site"
sudo systemctl reload "$apache"
