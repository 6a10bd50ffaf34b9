/** The secret of `admin.tokenFile`, of which only a hash is kept. */
import { createHash, timingSafeEqual } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { ConfigError } from "../config/config-error.js";

const TAKES = "must be a file with one secret on one line";
const OTHERS_MAY_READ = 0o004;

export interface Token {
  /** @param authorization the `Authorization` header. */
  matches(authorization: string | undefined): boolean;
  readonly hash: Buffer;
  /** Whether every user of the machine can read the file. */
  readonly isWorldReadable: boolean;
}

/** @throws ConfigError if the file cannot be read or contains no secret. */
export function readToken(path: string): Token {
  const fault = (what: string): ConfigError =>
    new ConfigError([`admin.tokenFile: ${JSON.stringify(path)}: ${what}: ${TAKES}`]);
  let text: string;
  let mode: number;
  try {
    text = readFileSync(path, "utf8").trim();
    ({ mode } = statSync(path));
  } catch (error) {
    throw fault(`cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  if (text === "") throw fault("contains no secret");
  if (/\p{Cc}/u.test(text)) throw fault("contains a line break or another control character");
  const hash = hashOf(Buffer.from(text));
  return {
    hash,
    isWorldReadable: (mode & OTHERS_MAY_READ) !== 0,
    matches(authorization) {
      const secret = secretOf(authorization ?? "");
      return secret !== undefined && timingSafeEqual(hash, hashOf(secret));
    },
  };
}

/** Hashes have one length, so comparing them reveals neither the length of the secret nor its beginning. */
function hashOf(secret: Buffer): Buffer {
  return createHash("sha256").update(secret).digest();
}

/** @returns the bytes of a Bearer token, or of the password of HTTP Basic (RFC 7617). Node shows each byte of a header as one character. */
function secretOf(authorization: string): Buffer | undefined {
  const [, scheme = "", credentials = ""] = /^(bearer|basic) +(\S.*)$/i.exec(authorization) ?? [];
  switch (scheme.toLowerCase()) {
    case "bearer":
      return Buffer.from(credentials, "latin1");
    case "basic": {
      const pair = Buffer.from(credentials, "base64");
      const colon = pair.indexOf(":");
      return colon < 0 ? undefined : pair.subarray(colon + 1);
    }
    default:
      return undefined;
  }
}
