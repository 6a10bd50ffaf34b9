/** Certificates and keys from files: read, checked, and read again on request. */
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { ConfigError } from "../config/config-error.js";

/** As `tls.connect` and `https.createServer` take them. */
export interface Credentials {
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly ca?: Buffer;
}

/** Which file holds what; absent ones are not used. */
export interface CredentialFiles {
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  /** Authorities, PEM. */
  readonly caFile?: { readonly key: string; readonly path: string } | undefined;
}

/**
 * @param section names the keys in faults, such as `listen.tls`.
 * @throws ConfigError naming the key and the file, where one cannot be read or used.
 */
export function readCredentials(
  section: string,
  { certFile, keyFile, caFile }: CredentialFiles,
): Credentials {
  const credentials: Credentials = {
    ...(certFile === undefined ? {} : { cert: readPem(`${section}.certFile`, certFile) }),
    ...(keyFile === undefined ? {} : { key: readPem(`${section}.keyFile`, keyFile) }),
    ...(caFile === undefined ? {} : { ca: readPem(`${section}.${caFile.key}`, caFile.path) }),
  };
  try {
    createSecureContext(credentials);
  } catch (cause) {
    const files = [certFile, keyFile, caFile?.path].filter((file) => file !== undefined);
    throw new ConfigError([
      `${section}: ${JSON.stringify(files)}: cannot be used: ${(cause as Error).message}: takes a certificate, its own ` +
        "key without a passphrase, and authorities, all PEM",
    ]);
  }
  return credentials;
}

/** When a certificate ends, in seconds since 1970; undefined without one. */
export function expiryOf({ cert }: Credentials): number | undefined {
  return cert === undefined ? undefined : Date.parse(new X509Certificate(cert).validTo) / 1000;
}

function readPem(key: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new ConfigError([
      `${key}: ${JSON.stringify(path)}: cannot be read (${code}): takes the path of a PEM file`,
    ]);
  }
}
