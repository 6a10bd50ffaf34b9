/** The chart, rendered by Helm 3 and Helm 4 themselves. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { parseConfig } from "../../src/config/load.js";
import { complaintsAbout, type Manifest, parseManifests } from "../support/kubernetes.js";
import { describeWith } from "../support/requirements.js";
import { type CommandResult, run } from "../support/run.js";

const CHART = "deploy/helm/glance-size-proxy";
const UPSTREAM = { upstream: "http://glance-api.openstack.svc:9292" };
const EVERYTHING = {
  ...UPSTREAM,
  config: {
    size: { unknown: "spool" },
    limits: { maxConcurrentUploads: 50 },
    upstream: { connectTimeout: "3s" },
  },
  env: [{ name: "GLANCE_SIZE_PROXY_LOG__LEVEL", value: "warn" }],
  imagePullSecrets: [{ name: "registry" }],
  service: { type: "LoadBalancer", annotations: { "example.org/internal": "true" } },
  tls: { secretName: "image-tls" },
  admin: {
    tls: { secretName: "admin-tls", verifyClients: true },
    token: { secretName: "admin-token", key: "secret" },
  },
  drain: { noticeSeconds: 20, uploadSeconds: 600 },
  spool: { size: "40Gi", storageClass: "fast" },
  autoscaling: { enabled: true },
  serviceMonitor: {
    enabled: true,
    labels: { release: "prometheus" },
    tlsConfig: { serverName: "image.example", ca: { secret: { name: "admin-tls", key: "ca.crt" } } },
  },
  networkPolicy: {
    clients: [{ ipBlock: { cidr: "10.0.0.0/8" } }],
    monitoring: [{ namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "monitoring" } } }],
    glance: { ports: [9292], to: [{ podSelector: { matchLabels: { application: "glance" } } }] },
  },
  podAnnotations: { "example.org/team": "images" },
  podLabels: { team: "images" },
  nodeSelector: { "openstack-control-plane": "enabled" },
  tolerations: [{ key: "node-role.kubernetes.io/control-plane", operator: "Exists" }],
  affinity: { nodeAffinity: {} },
  priorityClassName: "system-cluster-critical",
};

interface Probe {
  httpGet: { path: string; port: string; scheme?: string };
}

/** The parts of a Deployment that these tests look at. */
interface Pod {
  terminationGracePeriodSeconds: number;
  containers: {
    args: string[];
    ports: { name: string; containerPort: number }[];
    lifecycle: { preStop: { exec: { command: string[] } } };
    volumeMounts: { name: string; mountPath: string }[];
    startupProbe: Probe;
    livenessProbe: Probe;
    readinessProbe: Probe;
  }[];
  volumes: { name: string; [kind: string]: unknown }[];
}

describeWith(["helm"], "the Helm chart", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "helm-"));
  });
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  function helm(program: string, verb: string[], values: object): Promise<CommandResult> {
    const file = join(folder, "values.json");
    writeFileSync(file, JSON.stringify(values));
    return run(`/usr/local/bin/${program}`, [...verb, CHART, "--values", file], { env: { HOME: folder } });
  }
  async function render(values: object, program = "helm4"): Promise<Manifest[]> {
    const { code, stdout, stderr } = await helm(program, ["template", "image"], values);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return parseManifests(stdout);
  }
  function find(
    manifests: Manifest[],
    kind: string,
    name = "image-glance-size-proxy",
  ): Record<string, unknown> {
    const found = manifests.find((one) => one.kind === kind && one.metadata.name === name);
    if (!found) throw new Error(`there is no ${kind} ${name}`);
    return (found["spec"] ?? found["data"]) as Record<string, unknown>;
  }
  const podOf = (manifests: Manifest[]) => (find(manifests, "Deployment")["template"] as { spec: Pod }).spec;
  const configOf = (manifests: Manifest[]) =>
    parseConfig(
      parse(find(manifests, "ConfigMap")["config.yaml"] as string) as Parameters<typeof parseConfig>[0],
    );

  describe.each(["helm3", "helm4"])("by %s", (program) => {
    it.each([
      ["as it comes", UPSTREAM],
      ["with everything set", EVERYTHING],
    ])("lint finds nothing wrong with %s", async (_, values) => {
      const { code, stdout } = await helm(program, ["lint", "--strict"], values);
      expect([code, stdout]).toEqual([0, expect.stringContaining("1 chart(s) linted, 0 chart(s) failed")]);
    });

    it.each([
      ["no upstream", {}, "upstream: the URL of Glance"],
      ["an upstream that is no URL", { upstream: "glance:9292" }, "/upstream|upstream: Does not match"],
      ["a key that there is not", { ...UPSTREAM, replica: 3 }, "replica"],
      ["a value that is not a number", { ...UPSTREAM, replicas: "three" }, "replicas"],
      ["a size in other units", { ...UPSTREAM, spool: { size: "20GB" } }, "spool[./]size"],
      [
        "client certificates without TLS",
        { ...UPSTREAM, admin: { tls: { verifyClients: true } } },
        "verifyClients requires admin.tls.secretName",
      ],
      ["a key that the proxy does not have", { ...UPSTREAM, config: { limits: { maxSize: 5 } } }, "maxSize"],
      [
        "a value that the proxy refuses",
        { ...UPSTREAM, config: { size: { unknown: "keep" } } },
        "size[./]unknown",
      ],
    ])("%s is reported", async (_, values, words) => {
      const { code, stderr } = await helm(program, ["template", "image"], values);
      expect([code, stderr]).toEqual([1, expect.stringMatching(new RegExp(words))]);
    });
  });

  it("both Helm versions render the same, and it matches Kubernetes' schemas", async () => {
    const rendered: Manifest[] = [];
    for (const values of [UPSTREAM, EVERYTHING]) {
      const manifests = await render(values, "helm4");
      expect(await render(values, "helm3")).toEqual(manifests);
      rendered.push(...manifests);
    }
    expect(rendered.map(({ kind }) => kind)).toEqual(
      expect.arrayContaining([
        "NetworkPolicy",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
        "ServiceMonitor",
      ]),
    );
    expect(await complaintsAbout(rendered)).toEqual([]);
  });

  it("the schemas detect an unknown field and a wrong type", async () => {
    const text = JSON.stringify(await render(UPSTREAM))
      .replace('"targetPort"', '"tragetPort"')
      .replace('"containerPort":9292', '"containerPort":"image"');
    const complaints = (await complaintsAbout(JSON.parse(text) as Manifest[])).join("\n");
    expect(complaints).toContain("containerPort must be integer");
    expect(complaints).toContain("tragetPort");
  });

  it("every key of values.yaml is in the schema", async () => {
    const { properties } = parse(readFileSync(`${CHART}/values.schema.json`, "utf8")) as {
      properties: object;
    };
    const values = parse(readFileSync(`${CHART}/values.yaml`, "utf8")) as object;
    expect(
      Object.keys(properties)
        .filter((key) => key !== "global")
        .sort(),
    ).toEqual(Object.keys(values).sort());
    expect(await render(UPSTREAM)).toHaveLength(6);
  });

  it("the proxy accepts the configuration, and it agrees with the pod", async () => {
    for (const values of [UPSTREAM, EVERYTHING]) {
      const manifests = await render(values);
      const pod = podOf(manifests);
      const [container] = pod.containers;
      const config = configOf(manifests);
      expect(config.upstream.url.origin).toBe(UPSTREAM.upstream);
      const ports = Object.fromEntries(container?.ports.map((port) => [port.name, port.containerPort]) ?? []);
      expect(ports).toEqual({ image: config.listen.address.port, admin: config.admin.address.port });
      for (const [probe, path] of [
        ["startup", "/livez"],
        ["liveness", "/livez"],
        ["readiness", "/readyz"],
      ] as const) {
        const isSecure = config.admin.tls.certFile !== undefined;
        expect(container?.[`${probe}Probe`].httpGet).toEqual({
          path,
          port: "admin",
          ...(isSecure && { scheme: "HTTPS" }),
        });
      }
      // The kubelet does not end the pod before the proxy has ended by itself, roll-back included.
      const notice = Number(container?.lifecycle.preStop.exec.command.at(-1));
      const needed = notice + (config.shutdown.drainTimeoutMs + config.rollback.timeoutMs) / 1000;
      expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(needed);
      expect(config.shutdown.drainTimeoutMs).toBeGreaterThan(0);
    }
  });

  it("Glance's certificate is verified by the CA bundle of a secret, whatever its key is called", async () => {
    expect(configOf(await render(UPSTREAM)).upstream.tls.caFile).toBeUndefined();
    const upstream = "https://glance-default-internal.openstack.svc:9292";
    const upstreamCa = { secretName: "combined-ca-bundle", key: "tls-ca-bundle.pem" };
    const manifests = await render({ upstream, upstreamCa });
    const mount = podOf(manifests).containers[0]?.volumeMounts.find(({ name }) => name === "upstream-ca");
    expect(configOf(manifests).upstream.tls.caFile).toBe(`${mount?.mountPath}/ca.crt`);
    expect(podOf(manifests).volumes.at(-1)).toEqual({
      name: "upstream-ca",
      secret: { secretName: "combined-ca-bundle", items: [{ key: "tls-ca-bundle.pem", path: "ca.crt" }] },
    });
    expect(await complaintsAbout(manifests)).toEqual([]);
  });

  it("the admin address is guarded by secrets, which Prometheus uses too", async () => {
    expect(configOf(await render(UPSTREAM)).admin).toMatchObject({ tls: {}, hosts: [] });
    const manifests = await render(EVERYTHING);
    const { admin } = configOf(manifests);
    const [container] = podOf(manifests).containers;
    const folders = container?.volumeMounts.map(({ mountPath }) => mountPath) ?? [];
    for (const file of [admin.tls.certFile, admin.tls.keyFile, admin.tls.clientCaFile, admin.tokenFile]) {
      expect(folders).toContain(dirname(file ?? ""));
    }
    expect(podOf(manifests).volumes.find(({ name }) => name === "admin-token")).toMatchObject({
      secret: { secretName: "admin-token", items: [{ key: "secret", path: "token" }] },
    });
    expect(find(manifests, "ServiceMonitor")["endpoints"]).toEqual([
      {
        port: "admin",
        path: "/metrics",
        interval: "15s",
        scheme: "https",
        tlsConfig: EVERYTHING.serviceMonitor.tlsConfig,
        authorization: { credentials: { name: "admin-token", key: "secret" } },
      },
    ]);
    const [plain] = find(await render({ ...UPSTREAM, serviceMonitor: { enabled: true } }), "ServiceMonitor")[
      "endpoints"
    ] as object[];
    expect(plain).toEqual({ port: "admin", path: "/metrics", interval: "15s" });
  });

  it("bodies are spooled to a volume that is slightly larger than spool.maxTotal", async () => {
    expect(podOf(await render(UPSTREAM)).volumes.map(({ name }) => name)).toEqual(["config"]);
    const spooling = { ...UPSTREAM, config: { size: { unknown: "spool" } } };
    const onNode = await render(spooling);
    const config = configOf(onNode);
    const mount = podOf(onNode).containers[0]?.volumeMounts.find(({ name }) => name === "spool");
    expect([mount?.mountPath, config.spool.maxTotalBytes]).toEqual([config.spool.dir, 18 * 1024 ** 3]);
    expect(podOf(onNode).volumes.at(-1)).toEqual({ name: "spool", emptyDir: { sizeLimit: "20Gi" } });
    expect(JSON.stringify(podOf(await render(EVERYTHING)).volumes.at(-1))).toMatch(/ephemeral.*fast.*40Gi/);
  });

  it("a changed configuration causes new pods", async () => {
    const checksum = async (values: object) =>
      /"checksum\/config":"(\w+)"/.exec(JSON.stringify(await render(values)))?.[1] ?? "none";
    const before = await checksum(UPSTREAM);
    expect(await checksum({ ...UPSTREAM, replicas: 5 })).toBe(before);
    expect(await checksum({ ...UPSTREAM, config: { size: { reframe: false } } })).not.toBe(before);
  });

  it("the pod is confined, and its admin address closed to all but monitoring", async () => {
    for (const [values, admin] of [
      [UPSTREAM, 0],
      [EVERYTHING, 1],
    ] as const) {
      const manifests = await render(values);
      const pod = JSON.stringify(podOf(manifests));
      for (const word of [
        '"runAsNonRoot":true',
        '"readOnlyRootFilesystem":true',
        '"drop":["ALL"]',
        "RuntimeDefault",
      ]) {
        expect(pod).toContain(word);
      }
      expect(pod).toContain('"automountServiceAccountToken":false');
      const { ingress } = find(manifests, "NetworkPolicy") as {
        ingress: { ports: object[]; from?: object[] }[];
      };
      const open = ingress.filter(({ ports }) => JSON.stringify(ports).includes("admin"));
      expect(open).toHaveLength(admin);
      expect(open.every(({ from }) => from !== undefined && from.length > 0)).toBe(true);
    }
  });

  it("monitoring finds the pods by the admin service, clients by the other", async () => {
    const manifests = await render(EVERYTHING);
    const { matchLabels } = find(manifests, "ServiceMonitor")["selector"] as { matchLabels: object };
    const services = manifests.filter(({ kind }) => kind === "Service");
    const matched = services.filter(({ metadata }) =>
      Object.entries(matchLabels).every(([key, value]) => metadata.labels[key] === value),
    );
    expect(matched.map(({ metadata }) => metadata.name)).toEqual(["image-glance-size-proxy-admin"]);
    // As the alert rules have it.
    const jobLabel = find(manifests, "ServiceMonitor")["jobLabel"] as string;
    expect(matched[0]?.metadata.labels[jobLabel]).toBe("glance-size-proxy");
    expect(JSON.stringify(find(manifests, "Service")["ports"])).not.toContain("admin");
    expect(find(manifests, "Deployment")).not.toHaveProperty("replicas");
  });
});
