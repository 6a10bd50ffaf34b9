"""Run by scripts/check-deployments.sh: UPSTREAM, a checkout of the charm.

Renders the charm's templates as the charm does, and prints a line for each difference to what docs/deployment.md says of them.
"""

import re
import sys
from pathlib import Path

import jinja2

upstream = Path(sys.argv[1])
shared = upstream / "charmhelpers/contrib/openstack/templates"
# The newest templates of Glance's configuration; where they are not, older ones.
releases = [upstream / "templates" / name for name in ("epoxy", "yoga", "ussuri", "")]
loader = jinja2.FileSystemLoader([*releases, shared])


def render(name, **context):
    return jinja2.Environment(loader=loader).get_template(name).render(context)


# As `juju config glance api-config-flags=...` has them.
flags = {"bind_host": "127.0.0.1", "bind_port": "9271"}
glance = render("glance-api.conf", bind_host="0.0.0.0", bind_port=9282, api_config_flags=flags, enabled_backend_configs={})
haproxy = render(
    "haproxy.cfg",
    service_ports={"glance_api": [9292, 9282]},
    frontends={"192.0.2.7": {"network": "192.0.2.7/24", "backends": {"glance-0": "192.0.2.7"}}},
    default_backend="192.0.2.7",
    haproxy_client_timeout=3900000,
    haproxy_server_timeout=3900000,
)
contexts = (upstream / "hooks/glance_contexts.py").read_text()
ports = (upstream / "charmhelpers/contrib/hahelpers/cluster.py").read_text()
settings = set(re.findall(r"^  ([\w-]+):$", (upstream / "config.yaml").read_text(), re.M))
named = {"api-config-flags", "haproxy-client-timeout", "haproxy-server-timeout"}


def last(key):
    """oslo.config takes the last of several lines."""
    return (re.findall(rf"^{key} = (.*)$", glance, re.M) or ["none"])[-1]


for what, expected, found in [
    ("bind_host with api-config-flags", "127.0.0.1", last("bind_host")),
    ("bind_port with api-config-flags", "9271", last("bind_port")),
    ("HAProxy's member", ["192.0.2.7:9282"], re.findall(r"server glance-0 (\S+)", haproxy)),
    ("HAProxy's timeouts", ["3900000", "3900000"], re.findall(r"timeout (?:client|server) (\d+)", haproxy)),
    ("the settings that the guide names", named, named & settings),
    ("the servers in front of Glance", ["apache", "api"], re.findall(r"determine_(\w+)_port\(9292, singlenode_mode=True", contexts)),
    ("the distance of their ports", 2, ports.count("return public_port - (i * 10)")),
]:
    if expected != found:
        print(f"the charm: {what}: expected {expected}, found {found}")
