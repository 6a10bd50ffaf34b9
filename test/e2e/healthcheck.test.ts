/** `glance-size-proxy healthcheck`, as the container runs it: with the configuration of the proxy, whatever guards the admin address. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Authority, createAuthority } from "../support/certificates.js";
import { freePort } from "../support/free-port.js";
import { describeWith } from "../support/requirements.js";
import { run } from "../support/run.js";
import { useScene } from "./scene.js";

const scene = useScene();

/** Without Glance's URL, which may be a flag of the proxy alone. */
function healthcheck(env: Record<string, string>, ...args: readonly string[]) {
  return run(process.execPath, ["dist/cli.js", "healthcheck", ...args], { env });
}

it("exits with 0 if the proxy answers, wherever the address comes from", async () => {
  const address = `127.0.0.1:${scene.proxy.adminPort}`;
  const healthy = { code: 0, stdout: "", stderr: "" };
  expect(await healthcheck({ GLANCE_SIZE_PROXY_ADMIN__ADDRESS: address })).toEqual(healthy);
  expect(await healthcheck({}, "--admin-listen", address)).toEqual(healthy);
});

it("exits with 1 and says why if nobody listens there", async () => {
  const port = await freePort();
  const { code, stderr } = await healthcheck({ GLANCE_SIZE_PROXY_ADMIN_LISTEN: `127.0.0.1:${port}` });
  expect([code, stderr]).toEqual([1, expect.stringContaining(`port ${port}: connect ECONNREFUSED`)]);
});

it("exits with 2 and names the file if the configuration cannot be read", async () => {
  const { code, stderr } = await healthcheck({ GLANCE_SIZE_PROXY_CONFIG: "/nowhere/proxy.yaml" });
  expect([code, stderr]).toEqual([2, expect.stringMatching(/^config: "\/nowhere\/proxy\.yaml"/)]);
});

describeWith(["openssl"], "with admin.tls, client certificates, a token and host names", () => {
  let folder: string;
  let authority: Authority;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "healthcheck-"));
    authority = await createAuthority();
  });
  afterAll(async () => {
    await authority.remove();
    await rm(folder, { recursive: true });
  });

  it("needs none of them, and reads the same file as the proxy", async () => {
    const { certFile, keyFile } = await authority.issue("operators.test");
    const tokenFile = join(folder, "token");
    await writeFile(tokenFile, "correct-horse-7f3a");
    const admin = {
      tls: { certFile, keyFile, clientCaFile: authority.certFile },
      tokenFile,
      hosts: ["operators.test"],
    };
    const { adminPort } = await scene.startAnother({ admin });
    const file = join(folder, "proxy.yaml");
    await writeFile(file, JSON.stringify({ admin: { ...admin, address: `127.0.0.1:${adminPort}` } }));
    const { code, stderr } = await healthcheck({ GLANCE_SIZE_PROXY_CONFIG: file });
    expect([code, stderr]).toEqual([0, ""]);
  });
});
