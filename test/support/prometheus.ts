/** Debian's Prometheus on loopback, with the configuration and the rules of `deploy/`, but scraping and evaluating each second. */
import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parse, stringify } from "yaml";
import { LOG_FILE, startServers } from "./process-group.js";

export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  /** NaN if there is nothing to divide by, or no observation to take a quantile of. */
  readonly value: number;
}

export interface Prometheus {
  /** `data` of the answer. @throws with the reason that Prometheus gives. */
  api(path: string, parameters?: Readonly<Record<string, string>>): Promise<unknown>;
  /** An instant query, now. */
  query(expression: string): Promise<Series[]>;
  stop(): Promise<void>;
}

const DEPLOYED = "deploy/prometheus";

/** Files for a guarded admin address, by the end of the name that they have in `deploy/`. */
export type GuardFiles = Readonly<Record<"ca.crt" | "client.crt" | "client.key" | "token", string>>;

/**
 * @param targets what to scrape, HOST:PORT each.
 * @param files the lines for a guarded admin address are used, with these files.
 */
export async function startPrometheus(targets: readonly string[], files?: GuardFiles): Promise<Prometheus> {
  return startServers("prometheus", async ({ directory, start, untilReady }) => {
    const configFile = join(directory, "prometheus.yaml");
    await writeFile(configFile, await configure(targets, files));
    await start([
      ...["/usr/bin/prometheus", `--config.file=${configFile}`],
      ...[`--storage.tsdb.path=${join(directory, "data")}`, "--web.listen-address=127.0.0.1:0"],
    ]);
    const readLog = (): Promise<string> => readFile(join(directory, LOG_FILE), "utf8");
    await untilReady(async () => (await readLog()).includes("Server is ready to receive web requests"));
    const address = /msg="Listening on" address=(\S+)/.exec(await readLog())?.[1] ?? "";
    const api: Prometheus["api"] = async (path, parameters = {}) => {
      const answer = await fetch(
        `http://${address}/api/v1/${path}?${String(new URLSearchParams(parameters))}`,
      );
      const { data, error } = (await answer.json()) as { data?: unknown; error?: string };
      if (error !== undefined) throw new Error(error);
      return data;
    };
    return {
      api,
      async query(expression: string) {
        const { result } = (await api("query", { query: expression })) as {
          result: { metric: Series["metric"]; value: [time: number, value: string] }[];
        };
        return result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
      },
    };
  });
}

/** Uncomments the keys below a scrape, which are in lower case. */
function guard(text: string, files: GuardFiles): string {
  const keys = text.replace(/^ {4}# ( *[a-z_]+:.*)$/gm, "    $1");
  return Object.entries(files).reduce((config, [name, file]) => {
    return config.replace(`/etc/prometheus/glance-size-proxy-${name}`, file);
  }, keys);
}

async function configure(targets: readonly string[], files?: GuardFiles): Promise<string> {
  const text = await readFile(join(DEPLOYED, "prometheus.yaml"), "utf8");
  const config = parse(files ? guard(text, files) : text) as {
    scrape_configs: object[];
    rule_files: string[];
  };
  return stringify({
    global: { evaluation_interval: "1s" },
    scrape_configs: config.scrape_configs.map((scrape) => ({
      ...scrape,
      scrape_interval: "1s",
      scrape_timeout: "1s",
      static_configs: [{ targets }],
    })),
    rule_files: config.rule_files.map((file) => resolve(DEPLOYED, file)),
  });
}
