#!/usr/bin/env node
/** The command: arguments, start, signals. It ends the process; a worker's end is its own. */
import events from "node:events";
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { Command, CommanderError, Option } from "commander";
import { ConfigError } from "./config/config-error.js";
import { loadConfig, type ConfigFlags } from "./config/load.js";
import { printConfig } from "./config/print.js";
import type { Config } from "./config/schema.js";
import { startDemo } from "./demo/demo.js";
import { runDoctor } from "./doctor/doctor.js";
import { createLog } from "./observe/log.js";
import { createLogOutput } from "./observe/log-output.js";
import { createMetrics } from "./observe/metrics.js";
import { adviseOnNode } from "./observe/node-version.js";
import { createUploadsRegistry } from "./observe/uploads-registry.js";
import { ListenError } from "./http/listener.js";
import { createServer as createProxyServer } from "./index.js";
import { createServer } from "./server.js";
import { version } from "./vocabulary/version.js";
import { createCluster } from "./workers/primary.js";

/** What cannot be started as it was asked for. */
const EXIT_USAGE = 2;

/** If standard output takes nothing for so long, the last lines are lost and the process ends. */
const LOG_PATIENCE_MS = 2_000;

const program = new Command("glance-size-proxy")
  .description(
    "A reverse proxy in front of OpenStack Glance. It learns the size of every image upload before the " +
      "first byte goes on, tells Glance, counts every byte, and sees to it that an upload of any other size is never accepted.",
  )
  .version(version, "--version", "print the version and exit")
  .helpOption("--help", "print this help and exit")
  .helpCommand(false)
  .exitOverride()
  .showSuggestionAfterError(false) // one line a fault
  .option("--upstream <url>", "the Glance behind the proxy, such as http://127.0.0.1:19292 (required)")
  .option(
    "--listen <host:port>",
    "where clients reach the proxy (default 0.0.0.0:9292; port 0 takes a free one)",
  )
  .option(
    "--admin-listen <host:port>",
    "where the live page, metrics and health are served (default 127.0.0.1:9190)",
  )
  .option("--config <file>", "a YAML file; config/default.yaml holds every key with its default and meaning")
  .option("--check-config", "print the effective configuration and exit")
  .addHelpText(
    "after",
    "\nEvery key of the file can also be set in the environment: limits.maxImageSize is\n" +
      "GLANCE_SIZE_PROXY_LIMITS__MAX_IMAGE_SIZE. A flag wins over the environment, the environment over the file.\n" +
      "\nExample:\n  glance-size-proxy --upstream http://127.0.0.1:19292 --listen 0.0.0.0:9292\n",
  )
  .action(async ({ checkConfig, ...flags }: ConfigFlags & { checkConfig?: true }) => {
    const config = loadConfig({ flags, env: process.env, readFile: (path) => readFileSync(path, "utf8") });
    if (checkConfig) process.stdout.write(printConfig(config));
    else await serve(config);
  });

program
  .command("demo")
  .description("run a stand-in Glance with the proxy in front of it, and show what becomes of a few uploads")
  .option("--once", "end after the table; exit code 1 if an outcome is not as it should be")
  .action(async ({ once = false }: { once?: boolean }) => {
    const demo = await startDemo(createProxyServer, (text) => process.stdout.write(text));
    if (!once) {
      process.stdout.write("Ctrl-C ends it.\n");
      await Promise.race(["SIGINT", "SIGTERM"].map((signal) => events.once(process, signal)));
    }
    await demo.stop();
    process.exitCode = demo.asExpected ? 0 : 1;
  });

program
  .command("doctor")
  .description(
    "check a Glance: is it one, does it support the size header, does it roll back aborted uploads; exit code 1 on a problem",
  )
  .option("--upstream <url>", "the Glance to look at")
  .option("--config <file>", "a YAML file with `upstream`, for TLS towards Glance")
  .addOption(
    new Option(
      "--token <token>",
      "a token that may create images; up to four small images are created, and deleted",
    ).env("OS_TOKEN"),
  )
  .option("--read-only", "create no image, also with a token")
  .option("--json", "print JSON instead of a table")
  .action(async (_options: unknown, command: Command) => {
    // `--upstream` and `--config` are the command's own options, too, and may stand on either side of `doctor`.
    const {
      token,
      json = false,
      readOnly = false,
      ...flags
    } = command.optsWithGlobals<ConfigFlags & { token?: string; json?: true; readOnly?: true }>();
    const { upstream } = loadConfig({
      flags,
      env: process.env,
      readFile: (path) => readFileSync(path, "utf8"),
    });
    const healthy = await runDoctor({ upstream, token, readOnly, json }, (text) =>
      process.stdout.write(text),
    );
    process.exitCode = healthy ? 0 : 1;
  });

async function serve(config: Config): Promise<void> {
  // One for all lines of this process: two would pass one another.
  const output = createLogOutput();
  const log = createLog(config.log.level, output);
  const metrics = createMetrics();
  metrics.watchLog(output);
  const count = config.workers === "auto" ? availableParallelism() : config.workers;
  const server =
    count === 1
      ? createServer(config, { log, metrics, uploads: createUploadsRegistry() })
      : createCluster(config, count, { log, output, metrics });
  const addresses = await server.start();
  let draining = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (draining) {
      log.warn({ signal }, "ended at once");
      process.exit(1);
    }
    draining = true;
    log.info({ signal }, "draining");
    void server.drain(config.shutdown.drainTimeout).then(async () => {
      log.info({}, "drained");
      await output.flush(LOG_PATIENCE_MS);
      process.exit(0);
    });
  };
  process.on("SIGTERM", onSignal).on("SIGINT", onSignal);
  process.on("SIGHUP", () => server.reload());
  // Other programs wait for this line, whatever `log.level` is.
  createLog("info", output).info(addresses, "listening");
  const advice = adviseOnNode(process.version, new Date());
  if (advice) log.warn({ node: process.version, ...advice }, "another Node should be installed");
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE; // commander has said what is wrong
  } else if (error instanceof ConfigError) {
    process.stderr.write(error.faults.map((fault) => `${fault}\n`).join(""));
    process.exitCode = EXIT_USAGE;
  } else if (error instanceof ListenError) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = EXIT_USAGE;
  } else {
    throw error;
  }
}
