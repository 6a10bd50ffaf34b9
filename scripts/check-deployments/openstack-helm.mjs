// Run by scripts/check-deployments.sh: SCENARIO BEFORE AFTER, the chart rendered without and with deploy/openstack-helm.
// Prints one line for each difference between what upstream's chart does and what our files take for granted.
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { parseAllDocuments } from "yaml";

const [scenario, beforeFile, afterFile] = process.argv.slice(2);

/** @param {string} file */
function readManifests(file) {
  const manifests = parseAllDocuments(readFileSync(file, "utf8"))
    .map((document) => document.toJS())
    .filter((manifest) => manifest !== null);
  const find = (kind, name) => manifests.find((one) => one.kind === kind && one.metadata.name === name);
  const deployment = find("Deployment", "glance-api");
  return { find, pod: deployment?.spec.template.spec };
}

const { pod: podBefore } = readManifests(beforeFile);
const { find, pod } = readManifests(afterFile);
const namesOf = (one) => one?.containers.map(({ name }) => name) ?? [];
const container = (name) => pod?.containers.find((one) => one.name === name);
const proxy = container("glance-size-proxy");
const glance = container("glance-api");
const env = Object.fromEntries((proxy?.env ?? []).map(({ name, value }) => [name, value]));
const decode = (key) => Buffer.from(find("Secret", "glance-etc")?.data[key] ?? "", "base64").toString();
const uwsgi = decode("glance-api-uwsgi.ini");
const option = (name) => new RegExp(`^${name} *= *(.*)$`, "m").exec(uwsgi)?.[1];
const service = find("Service", "glance-api")?.spec.ports[0];
// The chart's own nginx (manifests.certificates) takes the port of the pod's address, and the proxy that of loopback.
const ownNginx = namesOf(podBefore).includes("nginx");
const nginxConfig = [
  decode("nginx.conf"),
  ...Object.values(find("ConfigMap", "glance-nginx-tls")?.data ?? {}),
].join("\n");

/** Where the kubelet asks Glance's container, or what it runs in it. */
const probed = ({ readinessProbe: probe } = {}) =>
  probe?.httpGet
    ? `0.0.0.0:${probe.httpGet.port}`
    : /127\.0\.0\.1:\d+/.exec(probe?.exec?.command.join(" "))?.[0];

const expectations = [
  [
    "the containers of the pod",
    [...namesOf(podBefore), "glance-size-proxy"].sort().join(" "),
    namesOf(pod).sort().join(" "),
  ],
  [
    "the address that Glance's uWSGI listens on",
    env.GLANCE_SIZE_PROXY_UPSTREAM?.replace("http://", ""),
    option("http-socket"),
  ],
  [
    "the address that the proxy listens on",
    `${ownNginx ? "127.0.0.1" : "0.0.0.0"}:${service?.port}`,
    env.GLANCE_SIZE_PROXY_LISTEN,
  ],
  ["where the kubelet looks for Glance", env.GLANCE_SIZE_PROXY_LISTEN, probed(glance)],
  ["uWSGI's socket-timeout", "65", option("socket-timeout")],
  ["uWSGI's worker-reload-mercy", "3600", option("worker-reload-mercy")],
  ["the pod's time to end", 3660, pod?.terminationGracePeriodSeconds],
];
if (service?.targetPort !== undefined) {
  const ports = pod.containers.flatMap(({ ports = [] }) => ports.map(({ containerPort }) => containerPort));
  expectations.push(["a container with the service's target port", true, ports.includes(service.targetPort)]);
}
if (nginxConfig.includes("ssl_certificate")) {
  const handsOn = /(?:server|proxy_pass) +(?:http:\/\/)?(127\.0\.0\.1:(?:\d+|\$PORT))/.exec(nginxConfig)?.[1];
  expectations.push([
    "where the TLS sidecar hands on to",
    `127.0.0.1:${service?.port}`,
    handsOn?.replace("$PORT", container("nginx")?.env.find(({ name }) => name === "PORT").value),
  ]);
}

for (const [what, expected, found] of expectations) {
  if (expected !== found) {
    console.log(`${scenario}: ${what}: expected ${JSON.stringify(expected)}, found ${JSON.stringify(found)}`);
  }
}
