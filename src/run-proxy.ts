/** Runs the proxy as a process: start, signals, end. */
import { rmSync, writeFileSync } from "node:fs";
import type { Descriptors, Proxy } from "./admin/proxy-server.js";
import { ConfigError } from "./config/config-error.js";
import type { LoadedConfig } from "./config/load.js";
import { addressOf, type Inherited } from "./inherited.js";
import { createLog, type LeveledLog } from "./observe/log.js";
import { createLogOutput, type LogOutput } from "./observe/log-output.js";
import { createMetrics } from "./observe/metrics.js";
import { adviseOnNode } from "./observe/node-version.js";
import { createUploadsRegistry } from "./observe/uploads-registry.js";
import { startSuccessor, type Successor, tellPredecessor } from "./successor.js";
import { deferFullCollections } from "./v8-flags.js";
import { countWorkers } from "./workers/count-workers.js";

/** If standard output takes nothing for so long, the last lines are lost and the process ends. */
const LOG_PATIENCE_MS = 2_000;

export interface RunOptions {
  readonly inherited: Inherited;
  readonly loaded: LoadedConfig;
  /** Reads the configuration again. */
  readonly read: () => LoadedConfig;
  /** File for the id of this process. */
  readonly pidFile: string | undefined;
}

/** @throws ConfigError or ListenError if the proxy cannot be started. */
export async function runProxy({ inherited, loaded, read, pidFile }: RunOptions): Promise<void> {
  deferFullCollections();
  // One for all lines of this process: two would pass one another.
  const output = createLogOutput();
  const log = createLog(loaded.config.log.level, output);
  const server = await createProxy(loaded, log, output);
  const starting = server.start(inherited.descriptorsFor(loaded.config));
  const whenStarted = (act: () => unknown) => () => void starting.then(act, () => undefined);
  // Without a listener, these signals would end a process that is still starting.
  process.on(
    "SIGHUP",
    whenStarted(() => command.reload(read)),
  );
  process.on(
    "SIGUSR2",
    whenStarted(() => command.upgrade()),
  );
  const command = new RunningProxy(server, log, output, pidFile);
  const addresses = await starting;
  writePid(pidFile, server);
  process.on("SIGTERM", (signal) => command.end(signal)).on("SIGINT", (signal) => command.end(signal));
  // Other programs wait for this line, whatever `log.level` is.
  createLog("info", output).info(addresses, "listening");
  if (inherited.hasPredecessor) tellPredecessor();
  const advice = adviseOnNode(process.version, new Date());
  if (advice) log.warn({ node: process.version, ...advice }, "install a Node with security fixes");
}

/** With workers, this process serves no clients, and loads nothing that does. */
async function createProxy(loaded: LoadedConfig, log: LeveledLog, output: LogOutput): Promise<Proxy> {
  const metrics = createMetrics();
  metrics.watchLog(output);
  const setLogLevel = (level: string): void => void (log.level = level);
  if (countWorkers(loaded.config) === 1) {
    const { createServer } = await import("./server.js");
    return createServer(loaded, { log, metrics, uploads: createUploadsRegistry(), setLogLevel });
  }
  const { createCluster } = await import("./workers/primary.js");
  return createCluster(loaded, { log, output, metrics, setLogLevel });
}

/** @throws ConfigError if the file cannot be written. Then the server is closed. */
function writePid(pidFile: string | undefined, server: Proxy): void {
  if (pidFile === undefined) return;
  try {
    writeFileSync(pidFile, `${process.pid}\n`);
  } catch (cause) {
    server.close();
    const { code } = cause as NodeJS.ErrnoException;
    throw new ConfigError([
      `--pid-file: ${JSON.stringify(pidFile)}: cannot be written (${code}): must be a file in a writable directory`,
    ]);
  }
}

class RunningProxy {
  readonly #server: Proxy;
  readonly #log: LeveledLog;
  readonly #output: LogOutput;
  readonly #pidFile: string | undefined;
  #isDraining = false;
  /** The program that is to replace this process. */
  #successor: Successor | undefined;
  /** Whether the successor listens. */
  #isRetired = false;

  constructor(server: Proxy, log: LeveledLog, output: LogOutput, pidFile: string | undefined) {
    this.#server = server;
    this.#log = log;
    this.#output = output;
    this.#pidFile = pidFile;
  }

  reload(read: () => LoadedConfig): void {
    if (this.#isDraining || this.#isRetired) {
      this.#log.warn({ signal: "SIGHUP" }, "this process is ending: the configuration is not read");
    } else {
      void this.#server.reload(read);
    }
  }

  end(signal: NodeJS.Signals): void {
    if (this.#isDraining) {
      this.#log.warn({ signal }, "second signal: ending at once");
      process.exit(1);
    }
    this.#isDraining = true;
    if (!this.#isRetired) this.#successor?.kill();
    this.#log.info({ signal }, "draining");
    void this.#server.drain(this.#server.config.shutdown.drainTimeoutMs).then(() => this.#exit());
  }

  /** Replaces this process by the program that is on disk now. If that does not listen, this process goes on. */
  async upgrade(): Promise<void> {
    const reason = this.#whyNotUpgrade();
    const { listen, admin } = this.#server.descriptors();
    if (reason !== undefined || listen === undefined || admin === undefined) {
      const fields = { reason: reason ?? "this Node does not tell the descriptors of its sockets" };
      return this.#log.error(fields, "no upgrade: this process goes on");
    }
    const successor = this.#startSuccessor({ listen, admin });
    this.#successor = successor;
    this.#log.info({ successor: successor.pid }, "upgrade: the new program starts");
    try {
      await successor.listening;
    } catch (error) {
      this.#successor = undefined;
      const fields = { successor: successor.pid, reason: (error as Error).message };
      return this.#log.error(fields, "no upgrade: the new program does not listen, and this process goes on");
    }
    this.#isRetired = true;
    this.#log.info(
      { successor: successor.pid },
      "upgrade: the new program listens, and this process finishes",
    );
    await this.#server.retire();
    await this.#exit();
  }

  #whyNotUpgrade(): string | undefined {
    if (this.#isDraining || this.#isRetired) return "this process is ending";
    if (this.#successor) return "the new program is already starting";
    // The end of process 1 ends its container, and every process in it.
    if (process.pid === 1) return "this is process 1 of a container: start another container instead";
    return undefined;
  }

  #startSuccessor(descriptors: Required<Descriptors>): Successor {
    const { config } = this.#server;
    return startSuccessor(descriptors, {
      listen: addressOf(config, "listen"),
      admin: addressOf(config, "admin"),
    });
  }

  async #exit(): Promise<void> {
    this.#log.info({}, "drained");
    this.#removePidFile();
    await this.#output.flush(LOG_PATIENCE_MS);
    process.exit(0);
  }

  /** After an upgrade, the file has the id of the new process. */
  #removePidFile(): void {
    if (this.#pidFile === undefined || this.#isRetired) return;
    rmSync(this.#pidFile, { force: true });
  }
}
