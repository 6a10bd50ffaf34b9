import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { ConfigError } from "../../../src/config/config-error.js";
import { type CredentialFiles, readCredentials } from "../../../src/http/credentials.js";
import { BAD_PEM_CASES, installBad, type PemKey } from "../../support/bad-pem.js";
import { type Authority, type Certificate, createAuthority } from "../../support/certificates.js";
import { describeWith } from "../../support/requirements.js";
import { run } from "../../support/run.js";

describeWith(["openssl"], "TLS files", () => {
  let authority: Authority;
  let directory: string;
  let own: Certificate;
  let paths: Record<PemKey, string>;
  beforeAll(async () => {
    authority = await createAuthority();
    directory = await mkdtemp(join(tmpdir(), "credentials-"));
    own = await authority.issue("proxy.test");
    paths = {
      certFile: join(directory, "cert.pem"),
      keyFile: join(directory, "key.pem"),
      caFile: join(directory, "ca.pem"),
    };
  });
  beforeEach(async () => {
    for (const path of Object.values(paths)) await rm(path, { recursive: true, force: true });
    await copyFile(own.certFile, paths.certFile);
    await copyFile(own.keyFile, paths.keyFile);
    await copyFile(authority.certFile, paths.caFile);
  });
  afterAll(async () => {
    await authority.remove();
    await rm(directory, { recursive: true, force: true });
  });

  const files = (): CredentialFiles => ({ ...paths, caFile: { key: "caFile", path: paths.caFile } });

  function faultsOf(act: () => unknown): readonly string[] {
    try {
      act();
    } catch (error) {
      if (error instanceof ConfigError) return error.faults;
      throw error;
    }
    return [];
  }

  it("are returned unchanged if they are valid", async () => {
    expect(readCredentials("listen.tls", files())).toEqual({
      cert: await readFile(own.certFile),
      key: await readFile(own.keyFile),
      ca: await readFile(authority.certFile),
    });
    expect(readCredentials("listen.tls", {})).toEqual({});
  });

  it.each(BAD_PEM_CASES)("%s: %s is refused, with the key and the path", async (key, _, bad) => {
    const says = await installBad(bad, key, own, paths[key]);
    const takes =
      key === "keyFile" ? "a PEM private key without a passphrase" : "one or more PEM certificates";
    expect(faultsOf(() => readCredentials("listen.tls", files()))).toEqual([
      `listen.tls.${key}: "${paths[key]}": ${says}: must be ${takes}`,
    ]);
  });

  it("keyFile: the key of another certificate is refused", async () => {
    await copyFile(authority.keyFile, paths.keyFile);
    const expected = [
      `listen.tls.keyFile: "${paths.keyFile}": is not the key of "${paths.certFile}": must be that certificate's key`,
    ];
    expect(faultsOf(() => readCredentials("listen.tls", files()))).toEqual(expected);
    // The chain's certificates are not the one that is shown.
    const chain = await Promise.all([own, authority].map(({ certFile }) => readFile(certFile)));
    await writeFile(paths.certFile, Buffer.concat(chain));
    expect(faultsOf(() => readCredentials("listen.tls", files()))).toEqual(expected);
  });

  it("give one fault for each bad file", async () => {
    await writeFile(paths.certFile, "");
    await rm(paths.keyFile);
    await writeFile(paths.caFile, "rubbish");
    expect(faultsOf(() => readCredentials("upstream.tls", files()))).toEqual([
      expect.stringMatching(/^upstream\.tls\.certFile: ".*cert\.pem": contains no certificate/),
      expect.stringMatching(/^upstream\.tls\.keyFile: ".*key\.pem": cannot be read \(ENOENT\)/),
      expect.stringMatching(/^upstream\.tls\.caFile: ".*ca\.pem": contains no certificate/),
    ]);
  });

  it("may contain a chain, text between certificates, and a certificate in the file of its key", async () => {
    const [cert, key, ca] = await Promise.all(
      [own.certFile, own.keyFile, authority.certFile].map((path) => readFile(path, "utf8")),
    );
    const bundle = `The proxy's own\r\n${cert}\n# its authority\n${ca}${key}`;
    await writeFile(paths.certFile, bundle);
    await writeFile(paths.keyFile, bundle);
    await writeFile(paths.caFile, ca + (cert ?? "").replaceAll("\n", "\r\n"));
    expect(faultsOf(() => readCredentials("listen.tls", files()))).toEqual([]);
  });

  it("name the section in the fault if OpenSSL refuses them", async () => {
    const weak = join(directory, "weak");
    await run("/usr/bin/openssl", [
      ...["req", "-newkey", "rsa:512", "-nodes", "-x509", "-subj", "/CN=weak"],
      ...["-keyout", `${weak}.key`, "-out", `${weak}.crt`],
    ]);
    expect(
      faultsOf(() => readCredentials("listen.tls", { certFile: `${weak}.crt`, keyFile: `${weak}.key` })),
    ).toEqual([expect.stringMatching(/^listen\.tls: \[".*weak\.crt",".*weak\.key"\]: cannot be used: /)]);
  });
});
