/** Who may use the admin address: requests for one of its names, with a client certificate, with the token. */
import { TLSSocket } from "node:tls";
import type { RequestHandler } from "express";
import type { Config } from "../config/config.js";
import { normalizeHost } from "../config/values.js";
import { readToken } from "./token.js";

export interface Guard {
  /** Refuses a request, or calls the next handler. */
  readonly handle: RequestHandler;
  /** Whether it refuses those who have neither a certificate nor the token. */
  readonly authenticates: boolean;
  /** Whether every user of the machine can read the token. */
  readonly isTokenWorldReadable: boolean;
  /** Equal for guards that let in the same requests, as far as the certificates of the CA are the same. */
  readonly rules: string;
}

/** Every key that is set must be satisfied. @throws ConfigError if `admin.tokenFile` cannot be used. */
export function createGuard({ hosts, tokenFile, tls }: Config["admin"]): Guard {
  const names = new Set(hosts.map(normalizeHost));
  const token = tokenFile === undefined ? undefined : readToken(tokenFile);
  const wantsCertificate = tls.clientCaFile !== undefined;
  return {
    authenticates: wantsCertificate || token !== undefined,
    isTokenWorldReadable: token?.isWorldReadable === true,
    rules: JSON.stringify([[...names], token?.hash.toString("hex"), wantsCertificate]),

    handle(request, response, next) {
      const { host = "", authorization } = request.headers;
      if (names.size > 0 && !names.has(normalizeHost(host))) {
        response
          .status(421)
          .type("text")
          .send("This host name is not in admin.hosts of glance-size-proxy.\n");
      } else if (wantsCertificate && !hasCertificate(request.socket)) {
        response
          .status(403)
          .type("text")
          .send("A client certificate of a CA in admin.tls.clientCaFile is required.\n");
      } else if (token?.matches(authorization) === false) {
        response
          .status(401)
          .set("WWW-Authenticate", 'Basic realm="glance-size-proxy", charset="UTF-8"')
          .type("text")
          .send("The secret of admin.tokenFile is required, as a Bearer token or as a password.\n");
      } else next();
    },
  };
}

/** Node calls a resumed session of TLS 1.3 authorized even if the client has no certificate, so both are checked. */
function hasCertificate(socket: unknown): boolean {
  return socket instanceof TLSSocket && socket.authorized && socket.getPeerX509Certificate() !== undefined;
}
