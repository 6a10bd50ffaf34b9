/** Opens an address for clients or operators, with HTTP or HTTPS. Faults name the configuration key. */
import { createServer as createHttpServer, type Server, type ServerOptions } from "node:http";
import { createServer as createHttpsServer, Server as HttpsServer } from "node:https";
import type { AddressInfo, Server as NetServer } from "node:net";
import type { Config } from "../config/config.js";
import type { ListenAddress } from "../config/values.js";
import { type Credentials, readCredentials } from "./credentials.js";

/** Maximum time of a TLS handshake, milliseconds. */
const HANDSHAKE_TIMEOUT_MS = 10_000;

export interface Listener {
  readonly server: Server;
  /**
   * Resolves to the URL.
   * @param descriptor an open descriptor that listens already, in place of the address.
   * @throws ListenError if the address or the descriptor cannot be used.
   */
  listen(descriptor?: number): Promise<string>;
  /** @returns the number of the descriptor that listens. Undefined if this Node does not tell, or if another process listens. */
  descriptor(): number | undefined;
  /** The certificate presented to clients; empty without TLS. */
  credentials(): Credentials;
  /**
   * Reads TLS files again. Whether the listener uses TLS, and whether it asks for client certificates, cannot change.
   *
   * @returns takes them over for new connections.
   * @throws ConfigError if a file cannot be used.
   */
  prepareReload(tls: Config["listen"]["tls"]): () => void;
}

/** The section of the configuration that has the address, for faults. */
type Section = "listen" | "admin";

/**
 * @param tls the listener uses HTTPS if this has a certificate.
 * @param handshake whether the handshake fails without a client certificate that `tls.clientCaFile` verifies. If it may succeed, the
 *   caller checks each request.
 * @throws ConfigError if a file cannot be used.
 */
export function createListener(
  section: Section,
  { address, tls }: Pick<Config["listen"], "address" | "tls">,
  options: ServerOptions = {},
  handshake: "verifies" | "asks" = "verifies",
): Listener {
  const secure = tls.certFile !== undefined;
  const key = `${section}.address`;
  let credentials = secure ? readListenerCredentials(section, tls) : {};
  const server = secure
    ? createHttpsServer({
        ...options,
        ...credentials,
        handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
        requestCert: tls.clientCaFile !== undefined,
        rejectUnauthorized: tls.clientCaFile !== undefined && handshake === "verifies",
      })
    : createHttpServer(options);
  return {
    server,
    listen: (descriptor) => listen(server, key, { address, descriptor }, secure ? "https" : "http"),
    descriptor: () => descriptorOf(server),
    credentials: () => credentials,
    prepareReload(next) {
      if (!(server instanceof HttpsServer)) return () => undefined;
      const read = readListenerCredentials(section, next);
      return () => {
        credentials = read;
        server.setSecureContext(read);
      };
    },
  };
}

/** @throws ConfigError if a file cannot be used. */
export function readListenerCredentials(
  section: Section,
  { certFile, keyFile, clientCaFile }: Config["listen"]["tls"],
): Credentials {
  const authorities = clientCaFile === undefined ? undefined : { key: "clientCaFile", path: clientCaFile };
  return readCredentials(`${section}.tls`, { certFile, keyFile, caFile: authorities });
}

/** @returns whether a listener cannot change from one to the other while it listens: to TLS, or to client certificates. */
export function differsInKind(before: Config["listen"]["tls"], after: Config["listen"]["tls"]): boolean {
  return (["certFile", "clientCaFile"] as const).some(
    (key) => (before[key] === undefined) !== (after[key] === undefined),
  );
}

/** Node has no public way to the descriptor of a server. @returns undefined if it is not found. */
export function descriptorOf(server: NetServer): number | undefined {
  const fd = (server as { _handle?: { fd?: unknown } | null })._handle?.fd;
  return typeof fd === "number" && fd >= 0 ? fd : undefined;
}

/** An address that cannot be used. The message names key, address and reason. */
export class ListenError extends Error {}

interface ListenOn {
  readonly address: ListenAddress;
  readonly descriptor: number | undefined;
}

function listen(server: Server, key: string, on: ListenOn, scheme: string): Promise<string> {
  const { address, descriptor } = on;
  const where = descriptor === undefined ? join(address.host, address.port) : `descriptor ${descriptor}`;
  return new Promise((resolve, reject) => {
    const onError = (cause: NodeJS.ErrnoException): void => {
      reject(new ListenError(`${key}: cannot listen on ${where}: ${explain(cause)}`, { cause }));
    };
    server.once("error", onError);
    server.listen(descriptor === undefined ? address : { fd: descriptor }, () => {
      server.off("error", onError);
      const bound = server.address() as AddressInfo;
      resolve(`${scheme}://${join(bound.address, bound.port)}`);
    });
  });
}

function explain(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case "EADDRINUSE":
      return "the port is in use: stop the program that uses it, or choose another port (0 takes a free one)";
    case "EADDRNOTAVAIL":
      return "this machine does not have that address: choose one of its addresses, or 0.0.0.0";
    case "EACCES":
      return "not allowed: choose a port of 1024 or above, or give the process CAP_NET_BIND_SERVICE";
    default:
      return error.message;
  }
}

function join(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
