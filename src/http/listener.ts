/** Opens an address for clients or operators, with HTTP or HTTPS. Faults name the configuration key. */
import { createServer as createHttpServer, type Server, type ServerOptions } from "node:http";
import { createServer as createHttpsServer, Server as HttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Config } from "../config/config.js";
import type { ListenAddress } from "../config/values.js";
import { type Credentials, readCredentials } from "./credentials.js";

/** Maximum time of a TLS handshake, milliseconds. */
const HANDSHAKE_TIMEOUT_MS = 10_000;

export interface Listener {
  readonly server: Server;
  /** Resolves to the URL. @throws ListenError if the address cannot be used. */
  listen(): Promise<string>;
  /** The certificate presented to clients; empty without TLS. */
  credentials(): Credentials;
  /** Reloads the TLS files for new connections. @throws ConfigError if a file cannot be used; then the old ones stay. */
  reload(): void;
}

/**
 * @param section section of the configuration, for faults.
 * @param tls the listener uses HTTPS if this has a certificate.
 * @param handshake whether the handshake fails without a client certificate that `tls.clientCaFile` verifies. If it may succeed, the
 *   caller checks each request.
 * @throws ConfigError if a file cannot be used.
 */
export function createListener(
  section: "listen" | "admin",
  { address, tls }: Pick<Config["listen"], "address" | "tls">,
  options: ServerOptions = {},
  handshake: "verifies" | "asks" = "verifies",
): Listener {
  const secure = tls.certFile !== undefined;
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
    listen: () => listen(server, `${section}.address`, address, secure ? "https" : "http"),
    credentials: () => credentials,
    reload() {
      if (!(server instanceof HttpsServer)) return;
      credentials = readListenerCredentials(section, tls);
      server.setSecureContext(credentials);
    },
  };
}

function readListenerCredentials(
  section: string,
  { certFile, keyFile, clientCaFile }: Config["listen"]["tls"],
): Credentials {
  const authorities = clientCaFile === undefined ? undefined : { key: "clientCaFile", path: clientCaFile };
  return readCredentials(`${section}.tls`, { certFile, keyFile, caFile: authorities });
}

/** An address that cannot be used. The message names key, address and reason. */
export class ListenError extends Error {}

function listen(server: Server, key: string, { host, port }: ListenAddress, scheme: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const onError = (cause: NodeJS.ErrnoException): void => {
      reject(new ListenError(`${key}: cannot listen on ${join(host, port)}: ${explain(cause)}`, { cause }));
    };
    server.once("error", onError);
    server.listen(port, host, () => {
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
