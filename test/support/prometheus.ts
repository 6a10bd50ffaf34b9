/** Debian's Prometheus on loopback, with the configuration and the rules of `deploy/`, but scraping and evaluating each second. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { parse, stringify } from "yaml";

export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  /** NaN where there is nothing to divide by, or no observation to take a quantile of. */
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

/** @param targets what to scrape, HOST:PORT each. */
export async function startPrometheus(targets: readonly string[]): Promise<Prometheus> {
  const directory = await mkdtemp(join(tmpdir(), "prometheus-"));
  const configFile = join(directory, "prometheus.yaml");
  await writeFile(configFile, await configure(targets));
  // Should this process be killed before it can stop Prometheus, the kernel does.
  const child = spawn(
    "/usr/bin/setpriv",
    [
      ...["--pdeathsig", "KILL", "--", "/usr/bin/prometheus", `--config.file=${configFile}`],
      ...[`--storage.tsdb.path=${join(directory, "data")}`, "--web.listen-address=127.0.0.1:0"],
    ],
    { stdio: ["ignore", "ignore", "pipe"], env: {} },
  );
  const exited = once(child, "exit");
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exited;
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const url = await ready(child.stderr);
    const api: Prometheus["api"] = async (path, parameters = {}) => {
      const answer = await fetch(`${url}/api/v1/${path}?${String(new URLSearchParams(parameters))}`);
      const { data, error } = (await answer.json()) as { data?: unknown; error?: string };
      if (error !== undefined) throw new Error(error);
      return data;
    };
    return {
      api,
      async query(expression) {
        const { result } = (await api("query", { query: expression })) as {
          result: { metric: Series["metric"]; value: [time: number, value: string] }[];
        };
        return result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function configure(targets: readonly string[]): Promise<string> {
  const config = parse(await readFile(join(DEPLOYED, "prometheus.yaml"), "utf8")) as {
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

/** Resolves with its address once it is ready, from what it logs. */
async function ready(log: NodeJS.ReadableStream): Promise<string> {
  let lines = "";
  return new Promise((resolve, reject) => {
    // Read to the end, or Prometheus would stop at a full pipe.
    createInterface({ input: log })
      .on("line", (line) => {
        lines += `${line}\n`;
        const address = /msg="Listening on" address=(\S+)/.exec(lines)?.[1];
        const isReady = lines.includes("Server is ready to receive web requests");
        if (address !== undefined && isReady) resolve(`http://${address}`);
      })
      .on("close", () => reject(new Error(`Prometheus did not start:\n${lines}`)));
  });
}
