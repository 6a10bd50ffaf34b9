/** What tests and benches need of the machine, where it stands, and the Debian packages that bring it. */
import { accessSync, constants } from "node:fs";

/** A browser without windows. */
export const CHROMIUM = "/usr/bin/chromium-headless-shell";

interface Provided {
  /** All of these must exist. Absolute, because another Python's scripts may come first in PATH. */
  readonly paths: readonly string[];
  readonly debianPackages: string;
  /** What has to be done besides. */
  readonly then?: string;
}

const PROVIDED = {
  "glance-api": {
    paths: ["/usr/bin/glance-api", "/usr/bin/glance-manage", "/etc/glance/glance-api-paste.ini"],
    debianPackages: "glance-api",
  },
  uwsgi: {
    paths: [
      "/usr/bin/uwsgi",
      "/usr/lib/uwsgi/plugins/python3_plugin.so",
      "/usr/lib/uwsgi/plugins/http_plugin.so",
      "/usr/bin/glance-wsgi-api",
      "/usr/bin/glance-manage",
    ],
    debianPackages: "glance-api uwsgi-core uwsgi-plugin-python3",
  },
  apache: {
    paths: ["/usr/sbin/apache2", "/usr/lib/apache2/modules/mod_proxy_http.so"],
    debianPackages: "apache2-bin",
  },
  "mod-wsgi": {
    paths: ["/usr/lib/apache2/modules/mod_wsgi.so", "/usr/bin/glance-wsgi-api"],
    debianPackages: "apache2-bin glance-api libapache2-mod-wsgi-py3",
  },
  // Not the package `keystone`, which brings a service.
  keystone: {
    paths: ["/usr/bin/keystone-manage", "/usr/lib/python3/dist-packages/waitress/__init__.py"],
    debianPackages: "python3-keystone python3-waitress",
  },
  ceph: {
    paths: [
      ...["/usr/bin/ceph", "/usr/bin/rbd", "/usr/bin/ceph-mon", "/usr/bin/ceph-osd"],
      ...["/usr/bin/monmaptool", "/usr/lib/python3/dist-packages/rbd-2.0.0.egg-info"],
    ],
    debianPackages: "ceph-mon ceph-osd ceph-common python3-rbd",
  },
  // Not the packages with the services.
  swift: {
    paths: ["/usr/lib/python3/dist-packages/swift/proxy/server.py", "/usr/bin/memcached"],
    debianPackages: "python3-swift memcached",
  },
  cinder: {
    paths: ["/usr/lib/python3/dist-packages/cinder/cmd/volume.py", "/usr/bin/sudo"],
    debianPackages: "python3-cinder sudo",
  },
  mariadb: {
    paths: [
      ...["/usr/sbin/mariadbd", "/usr/bin/mariadb", "/usr/bin/mariadb-install-db"],
      "/usr/lib/python3/dist-packages/pymysql/__init__.py",
    ],
    debianPackages: "mariadb-server-core mariadb-client-core python3-pymysql",
  },
  tempest: { paths: ["/usr/bin/tempest", "/usr/bin/subunit2csv"], debianPackages: "python3-tempest subunit" },
  boto3: { paths: ["/usr/lib/python3/dist-packages/boto3/__init__.py"], debianPackages: "python3-boto3" },
  h11: { paths: ["/usr/lib/python3/dist-packages/h11/__init__.py"], debianPackages: "python3-h11" },
  glance: { paths: ["/usr/bin/glance"], debianPackages: "python3-glanceclient" },
  openstack: { paths: ["/usr/bin/openstack"], debianPackages: "python3-openstackclient" },
  requests: {
    paths: ["/usr/bin/python3", "/usr/lib/python3/dist-packages/requests/__init__.py"],
    debianPackages: "python3-requests",
  },
  curl: { paths: ["/usr/bin/curl"], debianPackages: "curl" },
  go: { paths: ["/usr/bin/go"], debianPackages: "golang-go" },
  nginx: { paths: ["/usr/sbin/nginx"], debianPackages: "nginx-light" },
  cc: { paths: ["/usr/bin/cc", "/usr/include/stdlib.h"], debianPackages: "gcc libc6-dev" },
  libssl: { paths: ["/usr/include/openssl/ssl.h"], debianPackages: "libssl-dev" },
  chromium: { paths: [CHROMIUM], debianPackages: "chromium-headless-shell" },
  openssl: { paths: ["/usr/bin/openssl"], debianPackages: "openssl" },
  // In a namespace of its own: no rights are needed, and nothing stays mounted.
  tmpfs: { paths: ["/usr/bin/unshare", "/usr/bin/mount"], debianPackages: "mount util-linux" },
  prometheus: { paths: ["/usr/bin/prometheus"], debianPackages: "prometheus" },
  prlimit: { paths: ["/usr/bin/prlimit"], debianPackages: "util-linux" },
  script: { paths: ["/usr/bin/script"], debianPackages: "bsdutils" },
  promtool: { paths: ["/usr/bin/promtool"], debianPackages: "prometheus" },
  systemd: { paths: ["/usr/bin/systemd-analyze"], debianPackages: "systemd" },
  strace: { paths: ["/usr/bin/strace"], debianPackages: "strace" },
  haproxy: { paths: ["/usr/sbin/haproxy"], debianPackages: "haproxy" },
  // The playbooks look with `ss` who holds a port.
  ansible: { paths: ["/usr/bin/ansible-playbook", "/usr/bin/ss"], debianPackages: "ansible-core iproute2" },
  // And who may build: nobody but root can read root's home.
  buildah: { paths: ["/usr/bin/buildah", "/root"], debianPackages: "buildah" },
  shellcheck: { paths: ["/usr/bin/shellcheck"], debianPackages: "shellcheck" },
  helm: {
    paths: ["/usr/local/bin/helm3", "/usr/local/bin/helm4", "/usr/local/bin/kubectl"],
    debianPackages: "unzip",
    then: "scripts/install-helm.sh",
  },
} satisfies Readonly<Record<string, Provided>>;

export type Requirement = keyof typeof PROVIDED;

export function isProvided(requirement: Requirement): boolean {
  return PROVIDED[requirement].paths.every((path) => {
    try {
      accessSync(path, constants.R_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** What is missing and the command that installs it; undefined if nothing is missing. */
export function explainMissing(requirements: readonly Requirement[]): string | undefined {
  const missing = requirements.filter((requirement) => !isProvided(requirement));
  if (missing.length === 0) return undefined;
  const provided = missing.map((one): Provided => PROVIDED[one]);
  const packages = new Set(provided.flatMap(({ debianPackages }) => debianPackages.split(" ")));
  const then = provided.map((one) => (one.then ? ` && ${one.then}` : "")).join("");
  return `needs ${missing.join(", ")}: apt-get install --no-install-recommends ${[...packages].join(" ")}${then}`;
}
