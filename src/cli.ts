#!/usr/bin/env node
/**
 * The command: its arguments, and the exit code if it cannot start. Each action imports what it needs, because to load all of it takes
 * half a second of CPU time, and a container starts `healthcheck` every 30 seconds.
 */
import events from "node:events";
import { Command, CommanderError, Option } from "commander";
import { ConfigError } from "./config/config-error.js";
import type { ConfigFlags } from "./config/load.js";
import { ListenError } from "./http/listener.js";
import type { ServeFlags } from "./serve.js";
import { version } from "./vocabulary/version.js";

/** What cannot be started as it was asked for. */
const EXIT_USAGE = 2;

const program = new Command("glance-size-proxy")
  .description(
    "A reverse proxy in front of OpenStack Glance. It determines each upload's size before forwarding it, passes the " +
      "size to Glance, and aborts any upload whose body does not match.",
  )
  .version(version, "--version", "print the version and exit")
  .helpOption("-h, --help", "print this help and exit")
  .helpCommand(false)
  .exitOverride()
  // Commander writes the suggestion on a second line. A fault must be one line.
  .configureOutput({ outputError: (text, write) => write(text.replace("\n(", " (")) })
  .option("--upstream <url>", "URL of Glance, such as http://127.0.0.1:19292 (required)")
  .option(
    "--listen <host:port>",
    "address and port for clients (default 0.0.0.0:9292; port 0 takes a free port)",
  )
  .option(
    "--admin-listen <host:port>",
    "address and port for the live page, metrics and health checks (default 127.0.0.1:9190)",
  )
  .option(
    "--config <file>",
    "YAML configuration file; config/default.yaml lists every key with its default and meaning",
  )
  .option("--check-config", "print the effective configuration and exit")
  .option("--pid-file <file>", "file for the process id, written when the proxy listens")
  .addHelpText(
    "after",
    "\nEvery key of the file can also be set in an environment variable: limits.maxImageSize is\n" +
      "GLANCE_SIZE_PROXY_LIMITS__MAX_IMAGE_SIZE. A flag overrides the environment, and the environment overrides the file.\n" +
      "\nSignals:\n" +
      "  SIGTERM, SIGINT  finish the uploads in flight, then exit; a second signal exits at once\n" +
      "  SIGHUP           read the configuration and the TLS files again, for new requests\n" +
      "  SIGUSR2          start the program that is now on disk, then finish the uploads in flight and exit\n" +
      "\nExample:\n  glance-size-proxy --upstream http://127.0.0.1:19292 --listen 0.0.0.0:9292\n",
  )
  .action(async ({ checkConfig, ...flags }: ServeFlags & { checkConfig?: true }) => {
    if (!checkConfig) return (await import("./serve.js")).serve(flags);
    const { readConfig } = await import("./config/read-config.js");
    const { printConfig } = await import("./config/print.js");
    const { adviseOnUnknownSizes } = await import("./doctor/unknown-sizes.js");
    const { config, written } = readConfig(flags);
    process.stdout.write(printConfig(written));
    for (const advice of adviseOnUnknownSizes(config)) process.stderr.write(`warning: ${advice}\n`);
  });

program
  .command("demo")
  .description(
    "start a simulated Glance with the proxy in front of it, and compare uploads with and without the proxy",
  )
  .option("--once", "exit after the table; the exit code is 1 if a result is not the expected one")
  .option("--open", "open the live page in a browser")
  .action(async ({ once = false, open = false }: { once?: boolean; open?: boolean }) => {
    const { createServer } = await import("./index.js");
    const { startDemo } = await import("./demo/demo.js");
    const { openBrowser } = await import("./demo/open-browser.js");
    const demo = await startDemo(createServer, (text) => process.stdout.write(text));
    if (!once) {
      demo.keepUploading();
      if (open) openBrowser(demo.page);
      process.stdout.write("Some clients go on uploading.\nPress Ctrl-C to stop.\n");
      await Promise.race(["SIGINT", "SIGTERM"].map((signal) => events.once(process, signal)));
    }
    await demo.stop();
    process.exitCode = demo.asExpected ? 0 : 1;
  });

program
  .command("doctor")
  .description(
    "check a Glance: reachable, supports the size header, rolls back aborted uploads. Exits 1 if a check finds a problem",
  )
  .option("--upstream <url>", "URL of the Glance to check")
  .option(
    "--config <file>",
    "YAML configuration file: the TLS files for Glance, and what happens to uploads of unknown size",
  )
  .addOption(
    new Option(
      "--token <token>",
      "Keystone token allowed to create images. The checks create and delete up to four small test images",
    ).env("OS_TOKEN"),
  )
  .option("--read-only", "create no test image, even with a token")
  .option("--json", "print JSON instead of a table")
  .action(async (_options: unknown, command: Command) => {
    // `--upstream` and `--config` are the command's own options, too, and may stand on either side of `doctor`.
    const {
      token,
      json = false,
      readOnly = false,
      ...flags
    } = command.optsWithGlobals<ConfigFlags & { token?: string; json?: true; readOnly?: true }>();
    const { readWithoutListening } = await import("./config/read-config.js");
    const { runDoctor } = await import("./doctor/doctor.js");
    const config = readWithoutListening(flags);
    const healthy = await runDoctor({ config, token, readOnly, json }, (text) => process.stdout.write(text));
    process.exitCode = healthy ? 0 : 1;
  });

program
  .command("healthcheck")
  .description(
    "ask the proxy on this machine for /livez, at the admin address of its configuration. Exits 1 if it does not answer",
  )
  .option("--config <file>", "YAML configuration file of the proxy")
  .option("--admin-listen <host:port>", "admin address of the proxy")
  .action(async (_options: unknown, command: Command) => {
    // The check does not use Glance's URL, which may be a flag of the proxy alone.
    const flags = { upstream: "https://unused", ...command.optsWithGlobals<ConfigFlags>() };
    const { readWithoutListening } = await import("./config/read-config.js");
    const { askLivez } = await import("./admin/ask-livez.js");
    const fault = await askLivez(readWithoutListening(flags).admin);
    if (fault === undefined) return;
    process.stderr.write(`${fault}\n`);
    process.exitCode = 1;
  });

program
  .command("report")
  .description(
    "read the proxy's log and report which clients would be refused and why, which declare no size, and how much space " +
      "their uploads would need in the spool",
  )
  .requiredOption("--from <file...>", "log files in any order; - is standard input")
  .option("--json", "print JSON instead of a table")
  .addHelpText(
    "after",
    "\nThe log may be of enforce: false or true. Text before the JSON of a line is skipped.\n" +
      "\nExit codes:\n" +
      "  0  no upload would be or was refused\n" +
      "  1  at least one upload would be or was refused\n" +
      "  2  the log cannot be read, or has no upload in it\n" +
      "\nExample:\n  journalctl -u glance-size-proxy -o cat --since -7d | glance-size-proxy report --from -\n",
  )
  .action(async ({ from, json = false }: { from: string[]; json?: boolean }) => {
    const { openLog, runReport } = await import("./report/report.js");
    const logs = from.map((path) => (path === "-" ? process.stdin : openLog(path)));
    const refused = await runReport({ logs, json }, (text) => process.stdout.write(text));
    process.exitCode = refused === 0 ? 0 : 1;
  });

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
