#!/usr/bin/env bash
# DevStack runs the local.sh beside stack.sh at its end: put this there, after `npm install --global glance-size-proxy`.
# DevStack's Apache serves /image from Glance's uWSGI on a random port; here the proxy steps in between.
set -euo pipefail

uwsgi=${GLANCE_UWSGI_CONF:-/etc/glance/glance-uwsgi.ini}
sites=${APACHE_CONF_DIR:-/etc/apache2/sites-available}
apache=${APACHE_NAME:-apache2}
listen=127.0.0.1:19293

glance=$(sed -nE 's/^http(-socket)? *= *(127\.0\.0\.1:[0-9]+) *$/\2/p' "$uwsgi")
site=$(grep -lE "^ProxyPass .*http://$glance\"" "$sites"/*.conf)

sudo systemd-run --unit glance-size-proxy --property DynamicUser=yes --property Restart=on-failure \
  "$(command -v glance-size-proxy)" --upstream "http://$glance" --listen "$listen"
sudo sed -i -E "/^ProxyPass /s|http://$glance\"|http://$listen\"|" "$site"
sudo systemctl reload "$apache"
