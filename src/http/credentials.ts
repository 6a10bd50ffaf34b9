/** Certificates and keys from files: read, checked, and read again on request. */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { ConfigError } from "../config/config-error.js";

/** As `tls.connect` and `https.createServer` take them. */
export interface Credentials {
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly ca?: Buffer;
}

/** Which file holds what. A file that is not named is not read. */
export interface CredentialFiles {
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  /** Certificates of authorities, and the configuration key that names their file. */
  readonly caFile?: { readonly key: string; readonly path: string } | undefined;
}

/** A file's bytes, and what was found in them. */
interface Read<Content> {
  readonly pem: Buffer;
  readonly content: Content;
}

const TAKES_CERTIFICATES = "must be one or more PEM certificates";
const TAKES_KEY = "must be a PEM private key without a passphrase";

/** Each line that begins a certificate begins a piece. OpenSSL ignores an indented block, so it has to be found here. */
const CERTIFICATE_BEGINS = /^(?=[ \t]*-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----)/m;

/**
 * Node accepts an authorities file without a certificate, and skips a block that it cannot read. Then nobody is trusted, or
 * not everybody who should be, and nothing says so. So every file is checked here.
 *
 * @param section is the part of the configuration that the faults name, such as `listen.tls`.
 * @throws ConfigError with one fault for each file that cannot be read, or does not hold what its key is for.
 */
export function readCredentials(
  section: string,
  { certFile, keyFile, caFile }: CredentialFiles,
): Credentials {
  const faults: string[] = [];
  const fault = (key: string, path: string, what: string): void =>
    void faults.push(`${section}.${key}: ${JSON.stringify(path)}: ${what}`);

  function read<Content>(
    key: string,
    path: string | undefined,
    takes: string,
    parse: (pem: Buffer) => Content,
  ): Read<Content> | undefined {
    if (path === undefined) return undefined;
    try {
      const pem = readFileSync(path);
      return { pem, content: parse(pem) };
    } catch (error) {
      const { syscall, code, message } = error as NodeJS.ErrnoException;
      fault(key, path, `${syscall === undefined ? message : `cannot be read (${code})`}: ${takes}`);
      return undefined;
    }
  }

  const cert = read("certFile", certFile, TAKES_CERTIFICATES, parseCertificates);
  const key = read("keyFile", keyFile, TAKES_KEY, parsePrivateKey);
  const ca = read(caFile?.key ?? "caFile", caFile?.path, TAKES_CERTIFICATES, parseCertificates);
  if (cert && key && !belongs(key.content, cert.content)) {
    fault(
      "keyFile",
      keyFile ?? "",
      `is not the key of ${JSON.stringify(certFile)}: must be that certificate's key`,
    );
  }
  if (faults.length > 0) throw new ConfigError(faults);

  const credentials: Credentials = {
    ...(cert && { cert: cert.pem }),
    ...(key && { key: key.pem }),
    ...(ca && { ca: ca.pem }),
  };
  try {
    // OpenSSL may still refuse them, for example a key that is too short.
    createSecureContext(credentials);
  } catch (cause) {
    const files = [certFile, keyFile, caFile?.path].filter((file) => file !== undefined);
    throw new ConfigError([
      `${section}: ${JSON.stringify(files)}: cannot be used: ${(cause as Error).message}: must be a certificate, its key ` +
        "without a passphrase, and CA certificates, all in PEM format",
    ]);
  }
  return credentials;
}

/** When a certificate ends, in seconds since 1970. Undefined without a certificate. */
export function expiryOf({ cert }: Credentials): number | undefined {
  return cert === undefined ? undefined : Date.parse(new X509Certificate(cert).validTo) / 1000;
}

/** @throws Error whose message says what is wrong with the file. */
function parseCertificates(pem: Buffer): X509Certificate[] {
  const blocks = pem
    .toString("latin1")
    .split(CERTIFICATE_BEGINS)
    .filter((piece) => CERTIFICATE_BEGINS.test(piece));
  if (blocks.length === 0) throw new Error("contains no certificate");
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch (cause) {
      throw new Error(`certificate ${index + 1} of ${blocks.length} is broken`, { cause });
    }
  });
}

/** @throws Error whose message says what is wrong with the file. */
function parsePrivateKey(pem: Buffer): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw new Error("contains no usable private key", { cause });
  }
}

/** The first certificate of a file is the one that is shown; the others are its chain. */
function belongs(key: KeyObject, [certificate]: readonly X509Certificate[]): boolean {
  try {
    return certificate?.checkPrivateKey(key) === true;
  } catch {
    return false; // a key of another kind
  }
}
