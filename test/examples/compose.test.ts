/** examples/compose: nothing is mounted that is not there, and its proxy, Prometheus and Grafana fit together. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { loadConfig } from "../../src/config/load.js";
import { describeWith } from "../support/requirements.js";
import { run } from "../support/run.js";

interface Service {
  readonly image: string;
  readonly build?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly network_mode?: string;
  readonly command?: readonly string[];
  readonly volumes?: readonly string[];
}

const FOLDER = "examples/compose";
const read = (file: string): unknown => parse(readFileSync(join(FOLDER, file), "utf8"));
const { services, volumes } = read("compose.yaml") as {
  services: Readonly<Record<"proxy" | "prometheus" | "grafana", Service>>;
  volumes: Readonly<Record<string, null>>;
};
const { proxy, prometheus, grafana } = services;

const mounts = Object.values<Service>(services).flatMap((service) =>
  (service.volumes ?? []).map((mount) => mount.split(":")),
);
/** Where a file lies in this repository that a service sees at that path. */
function mounted(service: Service, path: string): string {
  for (const [from = "", to = ""] of (service.volumes ?? []).map((mount) => mount.split(":"))) {
    if (from.startsWith(".") && path.startsWith(to)) return join(FOLDER, from, path.slice(to.length));
  }
  throw new Error(`nothing is mounted at ${path}`);
}

it("every mounted path exists, and every volume is declared", () => {
  expect(mounts.length).toBeGreaterThanOrEqual(6);
  for (const [from = "", , mode] of mounts) {
    if (from.startsWith("."))
      expect([from, existsSync(join(FOLDER, from)), mode]).toEqual([from, true, "ro"]);
    else expect(volumes).toHaveProperty(from);
  }
});

describe("the proxy in compose.yaml", () => {
  it("is built from this repository, under the name that the README gives it", () => {
    expect(existsSync(join(FOLDER, proxy.build ?? "", "Dockerfile"))).toBe(true);
    expect(readFileSync("README.md", "utf8")).toContain(`docker build -t ${proxy.image} .`);
  });

  it("accepts its environment", () => {
    const env = Object.fromEntries(
      Object.entries(proxy.environment ?? {}).map(([name, value]) => [
        name,
        value.replace(/^\$\{GLANCE_URL:\?.*\}$/, "http://host.docker.internal:19292"),
      ]),
    );
    const { config } = loadConfig({ flags: {}, env, readFile: () => "" });
    expect([config.upstream.url.host, config.admin.address]).toEqual([
      "host.docker.internal:19292",
      { host: "0.0.0.0", port: 9190 },
    ]);
  });

  it("publishes its admin address, Prometheus and Grafana on loopback only", () => {
    const ports = Object.values<Service>(services).flatMap((service) => service.ports ?? []);
    expect(ports.filter((port) => !port.startsWith("127.0.0.1:"))).toEqual(["9292:9292"]);
  });
});

describeWith(["promtool"], "Prometheus", () => {
  const [flag = ""] = prometheus.command ?? [];
  const file = mounted(prometheus, flag.replace("--config.file=", ""));

  it("has a configuration with the alert rules that promtool accepts", async () => {
    const { code, stdout, stderr } = await run("/usr/bin/promtool", ["check", "config", file]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/\d+ rules found/);
  });

  it("shares the proxy's network, so that the target of the configuration is the proxy", () => {
    expect(prometheus.network_mode).toBe("service:proxy");
    const { scrape_configs } = parse(readFileSync(file, "utf8")) as {
      scrape_configs: [{ static_configs: [{ targets: string[] }] }];
    };
    expect(scrape_configs[0].static_configs[0].targets).toEqual(["127.0.0.1:9190"]);
  });
});

describe("Grafana", () => {
  it("finds Prometheus in the proxy's network", () => {
    const { datasources } = read("grafana/datasources.yaml") as {
      datasources: { type: string; url: string }[];
    };
    expect(datasources).toMatchObject([{ type: "prometheus", url: "http://proxy:9090" }]);
  });

  it("finds the dashboard of deploy/grafana", () => {
    const { providers } = read("grafana/dashboards.yaml") as { providers: [{ options: { path: string } }] };
    const folder = mounted(grafana, providers[0].options.path);
    expect(existsSync(join(folder, "glance-size-proxy.json"))).toBe(true);
  });
});
