/** Certificates for tests, made with the openssl command in a directory of their own. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./run.js";

export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
  pem(): Promise<{ cert: Buffer; key: Buffer }>;
}

export interface Authority extends Certificate {
  /** @param name subject and alternative name; @param days until it ends. */
  issue(name: string, days?: number): Promise<Certificate>;
  remove(): Promise<void>;
}

export async function createAuthority(): Promise<Authority> {
  const directory = await mkdtemp(join(tmpdir(), "certificates-"));
  let issued = 0;
  const openssl = async (...args: string[]): Promise<void> => {
    const { code, stderr } = await run("/usr/bin/openssl", args, { cwd: directory });
    if (code !== 0) throw new Error(`openssl ${args[0]}: ${stderr}`);
  };
  const at = (name: string): Certificate => {
    const [certFile, keyFile] = [join(directory, `${name}.crt`), join(directory, `${name}.key`)];
    return {
      certFile,
      keyFile,
      pem: async () => ({ cert: await readFile(certFile), key: await readFile(keyFile) }),
    };
  };
  const fresh = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-x509"];
  await openssl("req", ...fresh, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=Test CA", "-days", "2");
  return {
    ...at("ca"),
    async issue(name, days = 1) {
      issued += 1;
      const file = `${name}-${issued}`;
      const alternative = /^[\d.:]+$/.test(name) ? `IP:${name}` : `DNS:${name}`;
      await openssl(
        ...["req", ...fresh, "-keyout", `${file}.key`, "-out", `${file}.crt`, "-subj", `/CN=${name}`],
        ...["-CA", "ca.crt", "-CAkey", "ca.key", "-days", String(days)],
        ...["-addext", `subjectAltName=${alternative}`],
      );
      return at(file);
    },
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}
