/** Files that cannot be what a TLS key names, and what is said of each. */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import type { Authority, Certificate } from "./certificates.js";
import { run } from "./run.js";

export type PemKey = "certFile" | "keyFile" | "caFile";

/** What a good file may be made bad from. */
interface Good {
  readonly cert: string;
  readonly key: string;
}

interface BadPem {
  readonly name: string;
  /** Undefined: a directory lies there. */
  readonly content: (good: Good) => Promise<string> | string | undefined;
  /** Of each key for which the file is bad. */
  readonly says: Partial<Record<PemKey, string>>;
}

const NO_CERTIFICATE = "contains no certificate";
const NO_KEY = "contains no usable private key";
const broken = { certFile: "certificate 2 of 2 is broken", caFile: "certificate 2 of 2 is broken" };
const nothing = { certFile: NO_CERTIFICATE, caFile: NO_CERTIFICATE, keyFile: NO_KEY };

const BAD_PEM: readonly BadPem[] = [
  { name: "an empty file", content: () => "", says: nothing },
  { name: "a text file", content: () => "This is no certificate.\n", says: nothing },
  {
    name: "a directory",
    content: () => undefined,
    says: {
      certFile: "cannot be read (EISDIR)",
      keyFile: "cannot be read (EISDIR)",
      caFile: "cannot be read (EISDIR)",
    },
  },
  {
    name: "a key in a certificate's place",
    content: ({ key }) => key,
    says: { certFile: NO_CERTIFICATE, caFile: NO_CERTIFICATE },
  },
  { name: "a certificate in a key's place", content: ({ cert }) => cert, says: { keyFile: NO_KEY } },
  {
    name: "a second certificate that is not base64",
    content: ({ cert }) => cert + cert.replace("MII", "!!!"),
    says: broken,
  },
  {
    name: "a second certificate that is cut short",
    content: ({ cert }) => cert + cert.slice(0, cert.length / 2),
    says: broken,
  },
  {
    name: "a second certificate that is indented",
    content: ({ cert }) => cert + cert.replace(/^/gm, "  "),
    says: broken,
  },
  {
    name: "a key with a passphrase",
    content: async ({ key }) =>
      (await run("/usr/bin/openssl", ["pkey", "-aes256", "-passout", "pass:x"], { input: key })).stdout,
    says: { keyFile: NO_KEY },
  },
];

/** For `it.each`: the key, the name of the file, and the two together. */
export const BAD_PEM_CASES = BAD_PEM.flatMap((bad) =>
  (Object.keys(bad.says) as PemKey[]).map((key) => [key, bad.name, bad] as const),
);

/** @param at is replaced. @returns what is said of it. */
export async function installBad(
  bad: BadPem,
  key: PemKey,
  good: Certificate | Authority,
  at: string,
): Promise<string> {
  const [cert, ownKey] = [await readFile(good.certFile, "utf8"), await readFile(good.keyFile, "utf8")];
  const content = await bad.content({ cert, key: ownKey });
  await rm(at, { recursive: true, force: true });
  if (content === undefined) await mkdir(at);
  else await writeFile(at, content);
  return bad.says[key] ?? "";
}
