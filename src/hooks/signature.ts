/** Signs messages as the Standard Webhooks specification says: https://github.com/standard-webhooks/standard-webhooks */
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { ConfigError } from "../config/config-error.js";

const SECRET = /^whsec_([A-Za-z0-9+/]+={0,2})$/;
const MIN_SECRET_BYTES = 24;
const MAX_SECRET_BYTES = 64;

const TAKES =
  "must be a file with lines of whsec_ and 24 to 64 bytes in base64, such as: echo whsec_$(openssl rand -base64 32)";

/** @throws ConfigError that does not quote the file's content. */
export function readSecrets(path: string): readonly Buffer[] {
  const fault = (what: string): ConfigError =>
    new ConfigError([`hooks.secretFile: ${JSON.stringify(path)}: ${what}: ${TAKES}`]);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw fault(`cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  const lines = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  const secrets = lines.map((line) => Buffer.from(SECRET.exec(line)?.[1] ?? "", "base64"));
  const isValid = secrets.every(({ length }) => length >= MIN_SECRET_BYTES && length <= MAX_SECRET_BYTES);
  if (secrets.length === 0) throw fault("contains no secret");
  if (!isValid) throw fault("contains a line that is no such secret");
  return secrets;
}

/** @returns the headers that identify and sign a message. The id is the same for each try, the time is that of the try. */
export function signedHeaders(
  secrets: readonly Buffer[],
  id: string,
  body: string,
  now: Date,
): Record<string, string> {
  const timestamp = String(Math.floor(now.getTime() / 1_000));
  const signatures = secrets.map(
    (secret) => `v1,${createHmac("sha256", secret).update(`${id}.${timestamp}.${body}`).digest("base64")}`,
  );
  return {
    "webhook-id": id,
    "webhook-timestamp": timestamp,
    "webhook-signature": signatures.join(" "),
  };
}
