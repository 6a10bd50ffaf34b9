/**
 * Sockets that this process gets from outside, already listening: from an older process of this program that it replaces, or from
 * systemd (socket activation, https://www.freedesktop.org/software/systemd/man/sd_listen_fds.html).
 */
import { closeSync } from "node:fs";
import { z } from "zod";
import type { Descriptors } from "./admin/proxy-server.js";
import type { Config } from "./config/config.js";
import { ConfigError } from "./config/config-error.js";
import { listenAddress } from "./config/values.js";

/** Set by the older process. Not a configuration key. */
export const PREDECESSOR_VARIABLE = "GLANCE_SIZE_PROXY_PREDECESSOR";
/** The first descriptor after standard input, output and error. */
const FIRST_DESCRIPTOR = 3;

const SECTIONS = ["listen", "admin"] as const;

/** Sent by the older process: the `listen.address` and `admin.address` for which it opened the descriptors 3 and 4. */
const predecessorSchema = z.object({ listen: z.string(), admin: z.string() });
export type PredecessorAddresses = z.output<typeof predecessorSchema>;

export interface Inherited {
  /** Whether an older process waits until this one listens. */
  readonly hasPredecessor: boolean;
  /** @returns the descriptors to use. If the configuration has another address than the older process, that address is opened. */
  descriptorsFor(config: Config): Descriptors;
}

/**
 * Removes the variables from the environment, because a process that this one starts must not use the same descriptors.
 *
 * @param close closes a descriptor that is not used. Default: Node's `closeSync`.
 * @throws ConfigError if the variables cannot be understood.
 */
export function takeInherited(env: NodeJS.ProcessEnv, close = closeSync): Inherited {
  const predecessor = take(env, PREDECESSOR_VARIABLE);
  const [pid, count, names] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"].map((name) => take(env, name));
  if (predecessor !== undefined) {
    const opened = readPredecessor(predecessor);
    return {
      hasPredecessor: true,
      descriptorsFor: (config) =>
        keepDescriptors((section) => addressOf(config, section) === opened[section], close),
    };
  }
  // The variables of another process may have been passed on to this one.
  const given = pid === String(process.pid) && count !== undefined ? sectionsOf(Number(count), names) : [];
  return {
    hasPredecessor: false,
    descriptorsFor: () =>
      Object.fromEntries(given.map((section, index) => [section, FIRST_DESCRIPTOR + index])),
  };
}

export function addressOf(config: Config, section: keyof Descriptors): string {
  return z.encode(listenAddress, config[section].address);
}

function take(env: NodeJS.ProcessEnv, name: string): string | undefined {
  const value = env[name];
  Reflect.deleteProperty(env, name);
  return value;
}

function readPredecessor(text: string): PredecessorAddresses {
  try {
    return predecessorSchema.parse(JSON.parse(text));
  } catch {
    throw new ConfigError([`${PREDECESSOR_VARIABLE}: only a running proxy may set it: unset it`]);
  }
}

/** Closes the other descriptors: their sockets would go on accepting connections that nobody serves. The older process has its own. */
function keepDescriptors(
  isUsed: (section: keyof Descriptors) => boolean,
  close: (descriptor: number) => void,
): Descriptors {
  const used: Record<string, number> = {};
  for (const [index, section] of SECTIONS.entries()) {
    if (isUsed(section)) used[section] = FIRST_DESCRIPTOR + index;
    else close(FIRST_DESCRIPTOR + index);
  }
  return used;
}

/** A single socket without one of these names is that for clients. */
function sectionsOf(count: number, names = ""): string[] {
  const given = names.split(":").slice(0, count);
  if (count === 1 && given[0] !== "admin") return ["listen"];
  const isKnown = given.length === count && new Set(given).size === count;
  if (!isKnown || given.some((name) => name !== "listen" && name !== "admin")) {
    throw new ConfigError([
      `LISTEN_FDNAMES: ${JSON.stringify(names)}: must be listen and admin: set FileDescriptorName= in each socket unit`,
    ]);
  }
  return given;
}
