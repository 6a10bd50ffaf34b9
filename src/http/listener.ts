/** Opening an address for clients or operators: HTTP or HTTPS, and faults that name the key. */
import { createServer as createHttpServer, type Server, type ServerOptions } from "node:http";
import { createServer as createHttpsServer, Server as HttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Config } from "../config/schema.js";
import type { ListenAddress } from "../config/values.js";
import { readCredentials, type Credentials } from "./credentials.js";

/** A handshake may take that long. */
const HANDSHAKE_TIMEOUT_MS = 10_000;

export interface Listener {
  readonly server: Server;
  /** @throws ListenError where the address cannot be had. Resolves to its URL. */
  listen(): Promise<string>;
  /** What clients see; empty without TLS. */
  credentials(): Credentials;
  /** Reads the TLS files again, for new connections. @throws ConfigError, and keeps what it had. */
  reload(): void;
}

/**
 * @param key names the address in faults.
 * @param tls with a certificate, HTTPS.
 * @throws ConfigError where a file cannot be used.
 */
export function createListener(
  key: string,
  address: ListenAddress,
  options: ServerOptions = {},
  tls: Config["listen"]["tls"] = {},
): Listener {
  const secure = tls.certFile !== undefined;
  let credentials = secure ? readListenerCredentials(tls) : {};
  const server = secure
    ? createHttpsServer({
        ...options,
        ...credentials,
        handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
        requestCert: tls.clientCaFile !== undefined,
        rejectUnauthorized: tls.clientCaFile !== undefined,
      })
    : createHttpServer(options);
  return {
    server,
    listen: () => listen(server, key, address, secure ? "https" : "http"),
    credentials: () => credentials,
    reload() {
      if (!(server instanceof HttpsServer)) return;
      credentials = readListenerCredentials(tls);
      server.setSecureContext(credentials);
    },
  };
}

function readListenerCredentials({ certFile, keyFile, clientCaFile }: Config["listen"]["tls"]): Credentials {
  const authorities = clientCaFile === undefined ? undefined : { key: "clientCaFile", path: clientCaFile };
  return readCredentials("listen.tls", { certFile, keyFile, caFile: authorities });
}

/** An address that cannot be listened on; the message names the key, the address and the reason. */
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
