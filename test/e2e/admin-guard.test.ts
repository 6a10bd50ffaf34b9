/** Who may use the admin address, and who may not. */
import { once } from "node:events";
import { chmod, copyFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { get as getPlain, type IncomingMessage, type RequestOptions } from "node:http";
import { get } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Authority, type Certificate, createAuthority } from "../support/certificates.js";
import { type RunningCommand, startCommand } from "../support/cli.js";
import { request } from "../support/raw-http.js";
import { describeWith } from "../support/requirements.js";
import { run } from "../support/run.js";
import { useScene } from "./scene.js";

const SECRET = "correct-horse-7f3a";
const GUARDED = ["/", "/metrics", "/uploads", "/events", "/nowhere", "/assets/", "/livez/../metrics"];
const scene = useScene();
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "admin-guard-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let files = 0;
async function secretFile(text: string, mode = 0o600): Promise<string> {
  const path = join(folder, `token-${(files += 1)}`);
  await writeFile(path, text, { mode });
  await chmod(path, mode); // whatever the umask is
  return path;
}
const bearer = (secret: string) => ({ Authorization: `Bearer ${secret}` });
const basic = (user: string, secret: string) => ({
  Authorization: `Basic ${Buffer.from(`${user}:${secret}`).toString("base64")}`,
});
const statusOf = async (port: number, path: string, headers = {}) =>
  (await request(port, "GET", path, { headers })).status;

/** A live page that is open. Resolves with a promise of its end. */
async function openStream(
  port: number,
  headers = {},
): Promise<{ response: IncomingMessage; ended: Promise<unknown> }> {
  const outgoing = getPlain({ port, host: "127.0.0.1", path: "/events", agent: false, headers });
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  response.on("error", () => undefined).resume();
  return { response, ended: new Promise((resolve) => response.once("close", resolve)) };
}

describe("admin.tokenFile", () => {
  it("is required by every path but the probes, which need none", async () => {
    const { adminPort } = await scene.startAnother({
      admin: { tokenFile: await secretFile(`\n ${SECRET}\n`) },
    });
    for (const path of GUARDED) {
      const answer = await request(adminPort, "GET", path);
      expect([path, answer.status]).toEqual([path, 401]);
      expect(answer.headers["www-authenticate"]).toBe('Basic realm="glance-size-proxy", charset="UTF-8"');
      expect(answer.headers["content-security-policy"]).toMatch(/^default-src 'none'/);
    }
    expect(await statusOf(adminPort, "/livez")).toBe(200);
    expect(await statusOf(adminPort, "/readyz")).toBe(200);
  });

  it.each([
    ["a Bearer token", bearer(SECRET), 200],
    ["a scheme in other letters", { Authorization: `bearer  ${SECRET}` }, 200],
    ["a password, whoever sends it", basic("anyone", SECRET), 200],
    ["a password without a user name", basic("", SECRET), 200],
    ["another token", bearer(`${SECRET}x`), 401],
    ["a part of the token", bearer(SECRET.slice(0, -1)), 401],
    ["an empty token", { Authorization: "Bearer " }, 401],
    ["another password", basic(SECRET, "other"), 401],
    ["the token as a user name", { Authorization: `Basic ${Buffer.from(SECRET).toString("base64")}` }, 401],
    ["another scheme", { Authorization: `Digest ${SECRET}` }, 401],
    ["the token alone", { Authorization: SECRET }, 401],
  ])("takes %s as it should", async (_, headers, status) => {
    const { adminPort } = await scene.startAnother({ admin: { tokenFile: await secretFile(SECRET) } });
    expect(await statusOf(adminPort, "/uploads", headers)).toBe(status);
  });

  it("may have a colon and characters beyond ASCII", async () => {
    const secret = "pä:ß wört";
    const { adminPort } = await scene.startAnother({ admin: { tokenFile: await secretFile(secret) } });
    expect(await statusOf(adminPort, "/uploads", basic("me", secret))).toBe(200);
    expect(await statusOf(adminPort, "/uploads", bearer(Buffer.from(secret).toString("latin1")))).toBe(200);
    expect(await statusOf(adminPort, "/uploads", basic("me", "pa:ß wört"))).toBe(401);
  });

  it.each([
    ["there is none", undefined, /cannot be read \(ENOENT\)/],
    ["it is empty", "", /contains no secret/],
    ["it is blank", " \n\t\n", /contains no secret/],
    ["it has two lines", "one\ntwo\n", /contains a line break/],
  ])("prevents the start if %s", async (_, text, words) => {
    const tokenFile = text === undefined ? join(folder, "none") : await secretFile(text);
    const start = scene.startAnother({ admin: { tokenFile } });
    await expect(start).rejects.toThrow(`admin.tokenFile: "${tokenFile}": `);
    await expect(start).rejects.toThrow(words);
    await expect(start).rejects.toThrow("must be a file with one secret on one line");
  });

  it("is not shown if someone sets the secret itself", async () => {
    const start = scene.startAnother({ admin: { tokenFile: SECRET } });
    await expect(start).rejects.toThrow('admin.tokenFile: "***": must be the absolute path of a file');
  });

  it("causes a warning if everyone can read it, at the start and at each reload", async () => {
    const warning = expect.objectContaining({ key: "admin.tokenFile" }) as object;
    const start = async (mode: number) => {
      const tokenFile = await secretFile(SECRET, mode);
      const proxy = await scene.startAnother({ admin: { tokenFile } });
      return { ...proxy, tokenFile, warnings: () => proxy.logged.filter(({ level }) => level === "warn") };
    };
    expect((await start(0o644)).warnings()).toEqual([warning]);
    const proxy = await start(0o640);
    expect(proxy.warnings()).toEqual([]);
    await chmod(proxy.tokenFile, 0o644);
    await proxy.reload();
    await proxy.reload();
    expect(proxy.warnings()).toEqual([warning, warning]);
  });

  it("is read again on reload: the old secret no longer counts, also on open connections", async () => {
    const tokenFile = await secretFile(SECRET);
    const proxy = await scene.startAnother({ admin: { tokenFile } });
    const stream = await openStream(proxy.adminPort, bearer(SECRET));
    expect(stream.response.statusCode).toBe(200);
    let ended = false;
    void stream.ended.then(() => (ended = true));

    await writeFile(tokenFile, "");
    await proxy.reload();
    expect(proxy.logged.at(-1)).toMatchObject({
      level: "error",
      faults: [expect.stringContaining("contains no secret")],
    });
    await writeFile(tokenFile, `${SECRET}\n`);
    await proxy.reload();
    expect(proxy.logged.at(-1)).toMatchObject({ level: "info", msg: "configuration reloaded" });
    expect(await statusOf(proxy.adminPort, "/uploads", bearer(SECRET))).toBe(200);
    expect(ended).toBe(false);

    await writeFile(tokenFile, "another");
    await proxy.reload();
    await stream.ended;
    expect(proxy.logged.at(-1)).toMatchObject({ changed: ["admin.tokenFile: other contents"] });
    expect(await statusOf(proxy.adminPort, "/uploads", bearer(SECRET))).toBe(401);
    expect(await statusOf(proxy.adminPort, "/uploads", bearer("another"))).toBe(200);
    expect(JSON.stringify(proxy.logged)).not.toMatch(/correct-horse|another/);
  });
});

describe("admin.hosts", () => {
  const hosts = ["Metrics.example.", "192.0.2.7", "::1", "[2001:db8:0::2]"];

  it.each([
    ["metrics.example", 200],
    ["METRICS.example:9190", 200],
    ["metrics.example.:9190", 200],
    ["192.0.2.7:9190", 200],
    ["[::1]:9190", 200],
    ["[0:0::1]", 200],
    ["[2001:DB8::2]:1", 200],
    ["127.0.0.1", 421],
    ["localhost:9190", 421],
    ["evil.metrics.example", 421],
    ["metrics.example.evil.test", 421],
    ["metrics.example@evil.test", 421],
    ["evil.test/metrics.example", 421],
    ["metrics.example:port", 421],
    ["", 421],
  ])("decides about Host: %s", async (host, status) => {
    const { adminPort } = await scene.startAnother({ admin: { hosts } });
    const answer = await request(adminPort, "GET", "/uploads", { headers: { Host: host } });
    expect(answer.status).toBe(status);
    if (status === 421) expect(answer.text).toContain("admin.hosts");
    for (const path of ["/livez", "/readyz"])
      expect(await statusOf(adminPort, path, { Host: host })).toBe(200);
  });

  it("and another token file can change while the proxy runs", async () => {
    const proxy = await scene.startAnother({ admin: { hosts: ["localhost"] } });
    const status = (headers: object) =>
      statusOf(proxy.adminPort, "/uploads", { Host: "admin.example", ...headers });
    expect(await status({})).toBe(421);
    const tokenFile = await secretFile(SECRET);
    expect(await proxy.reload({ admin: { hosts: ["admin.example"], tokenFile } })).toMatchObject({
      faults: [],
      changed: ["admin.tokenFile", "admin.hosts"],
    });
    expect(await status({})).toBe(401);
    expect(await status(bearer(SECRET))).toBe(200);
  });

  it("allows every name if it is empty", async () => {
    expect(await statusOf(scene.proxy.adminPort, "/uploads", { Host: "evil.test" })).toBe(200);
  });

  it.each(["localhost:9190", "http://localhost", "a b", "", "300.1.1.1", "1:2"])(
    "refuses %j at the start",
    async (name) => {
      const start = scene.startAnother({ admin: { hosts: [name] } });
      await expect(start).rejects.toThrow(
        /^admin\.hosts: .*must be a list of host names or addresses without a port, such as localhost or \[::1\]$/,
      );
    },
  );
});

it("warns at the start if other machines can reach an admin address without a guard", async () => {
  const warnings = async (admin: object) =>
    (await scene.startAnother({ admin: { address: "0.0.0.0:0", ...admin } })).logged.filter(
      ({ level }) => level === "warn",
    );
  expect(await warnings({})).toEqual([
    expect.objectContaining({ keys: ["admin.tokenFile", "admin.tls.clientCaFile"] }),
  ]);
  expect(await warnings({ address: "[::]:0" })).toHaveLength(1);
  expect(await warnings({ tokenFile: await secretFile(SECRET) })).toEqual([]);
  for (const address of ["127.0.0.1:0", "localhost:0", "[::1]:0"])
    expect(await warnings({ address })).toEqual([]);
});

describeWith(["openssl"], "admin.tls", () => {
  let authority: Authority;
  let stranger: Authority;
  let server: Certificate;
  beforeAll(async () => {
    [authority, stranger] = [await createAuthority(), await createAuthority()];
    server = await authority.issue("127.0.0.1");
  });
  afterAll(() => Promise.all([authority.remove(), stranger.remove()]));

  const tls = () => ({ certFile: server.certFile, keyFile: server.keyFile });

  async function ask(port: number, path: string, client?: Certificate, options: RequestOptions = {}) {
    const ca = (await authority.pem()).cert;
    const outgoing = get({
      port,
      host: "127.0.0.1",
      path,
      ca,
      agent: false,
      ...(await client?.pem()),
      ...options,
    });
    const [response] = (await once(outgoing, "response")) as [IncomingMessage];
    let text = "";
    for await (const piece of response.setEncoding("utf8")) text += piece;
    return { status: response.statusCode, text };
  }

  it("serves HTTPS, takes the token, and tells when the certificate expires", async () => {
    const proxy = await scene.startAnother({ admin: { tls: tls(), tokenFile: await secretFile(SECRET) } });
    const { adminPort } = proxy;
    expect((await ask(adminPort, "/metrics")).status).toBe(401);
    const { status, text } = await ask(adminPort, "/metrics", undefined, { headers: bearer(SECRET) });
    expect(status).toBe(200);
    const [, expiry] = /tls_certificate_expiry_timestamp_seconds\{side="admin"\} (\d+)/.exec(text) ?? [];
    expect(Number(expiry)).toBeGreaterThan(Date.now() / 1000);
    expect(text).not.toMatch(/tls_certificate_expiry_timestamp_seconds\{side="upstream"/);
    await expect(request(adminPort, "GET", "/livez")).rejects.toThrow();
  });

  it("with clientCaFile, requires a certificate of that CA, except for probes", async () => {
    const { adminPort } = await scene.startAnother({
      admin: { tls: { ...tls(), clientCaFile: authority.certFile } },
    });
    const [member, other] = [await authority.issue("member"), await stranger.issue("member")];
    for (const client of [undefined, other]) {
      for (const path of ["/livez", "/readyz"]) expect((await ask(adminPort, path, client)).status).toBe(200);
      for (const path of GUARDED) {
        const { status, text } = await ask(adminPort, path, client);
        expect([path, status]).toEqual([path, 403]);
        expect(text).toContain("admin.tls.clientCaFile");
      }
    }
    expect((await ask(adminPort, "/uploads", member)).status).toBe(200);
  });

  it("with clientCaFile and a token, requires both", async () => {
    const tokenFile = await secretFile(SECRET);
    const { adminPort } = await scene.startAnother({
      admin: { tls: { ...tls(), clientCaFile: authority.certFile }, tokenFile },
    });
    const member = await authority.issue("member");
    const headers = bearer(SECRET);
    expect((await ask(adminPort, "/uploads", undefined, { headers })).status).toBe(403);
    expect((await ask(adminPort, "/uploads", member)).status).toBe(401);
    expect((await ask(adminPort, "/uploads", member, { headers })).status).toBe(200);
  });

  it.each(["TLSv1.2", "TLSv1.3"] as const)(
    "does not take a resumed session of %s for a certificate",
    async (version) => {
      const { adminPort } = await scene.startAnother({
        admin: { tls: { ...tls(), clientCaFile: authority.certFile } },
      });
      const other = await stranger.issue("member");
      for (const client of [undefined, other]) {
        const options = {
          port: adminPort,
          host: "127.0.0.1",
          ca: (await authority.pem()).cert,
          maxVersion: version,
          ...(await client?.pem()),
        };
        const first = connectTls(options);
        const resumable = once(first, "session") as Promise<[Buffer]>;
        first.write("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
        const [session] = await resumable;
        first.destroy();
        const second = connectTls({ ...options, session });
        second.write("GET /uploads HTTP/1.1\r\nHost: a\r\n\r\n");
        const [answer] = (await once(second, "data")) as [Buffer];
        expect(second.isSessionReused()).toBe(true);
        expect(answer.toString()).toMatch(/^HTTP\/1\.1 403 /);
        second.destroy();
      }
    },
  );

  it("cannot be turned on or off while the proxy runs", async () => {
    const proxy = await scene.startAnother({});
    expect(await proxy.reload({ admin: { tls: tls() } })).toMatchObject({
      pending: ["admin.tls.certFile", "admin.tls.keyFile"],
    });
    expect(await statusOf(proxy.adminPort, "/uploads")).toBe(200);
  });

  it("reads certificate, key and CA again on reload; a bad file keeps the old ones", async () => {
    const at = (name: string) => join(folder, name);
    const paths = { certFile: at("live.crt"), keyFile: at("live.key"), clientCaFile: at("live-ca.crt") };
    const install = async (own: Certificate, ca: Authority) => {
      await copyFile(own.certFile, paths.certFile);
      await copyFile(own.keyFile, paths.keyFile);
      await copyFile(ca.certFile, paths.clientCaFile);
    };
    await install(server, authority);
    const proxy = await scene.startAnother({ admin: { tls: paths } });
    const [member, other] = [await authority.issue("member"), await stranger.issue("member")];
    const statuses = async () => [
      (await ask(proxy.adminPort, "/uploads", member)).status,
      (await ask(proxy.adminPort, "/uploads", other)).status,
    ];
    const ca = (await authority.pem()).cert;
    const kept = connectTls({ port: proxy.adminPort, host: "127.0.0.1", ca, ...(await member.pem()) });
    await once(kept, "secureConnect");
    kept.on("error", () => undefined).resume();
    const closed = once(kept, "close");

    await writeFile(paths.clientCaFile, "rubbish");
    await proxy.reload();
    expect(proxy.logged.at(-1)).toMatchObject({
      level: "error",
      faults: [
        expect.stringContaining(`admin.tls.clientCaFile: "${paths.clientCaFile}": contains no certificate`),
      ],
    });
    expect(await statuses()).toEqual([200, 403]);
    await install(await authority.issue("127.0.0.1", 2), authority);
    await proxy.reload();
    expect(proxy.logged.at(-1)).toMatchObject({ level: "info", msg: "configuration reloaded" });
    expect(await statuses()).toEqual([200, 403]);
    expect(kept.destroyed).toBe(false); // a new certificate changes nothing about who is allowed

    await install(server, stranger);
    await proxy.reload();
    await closed;
    expect(await statuses()).toEqual([403, 200]);
  });
});

describe.each([1, 2])("the command with workers: %i", (workers) => {
  let command: RunningCommand | undefined;
  afterAll(() => command?.stop());

  it("guards its admin address, reads the token again on SIGHUP, and shows it nowhere", async () => {
    const tokenFile = await secretFile(SECRET);
    const env = {
      GLANCE_SIZE_PROXY_WORKERS: String(workers),
      GLANCE_SIZE_PROXY_ADMIN__TOKEN_FILE: tokenFile,
      GLANCE_SIZE_PROXY_ADMIN__HOSTS: "glance.test,localhost",
    };
    command = await startCommand(scene.upstream.url, env);
    const { adminPort, lines, child } = command;
    expect(await statusOf(adminPort, "/metrics")).toBe(401);
    expect(await statusOf(adminPort, "/metrics", { ...bearer(SECRET), Host: "evil.test" })).toBe(421);
    for (const path of ["/", "/metrics", "/uploads"]) {
      const { status, text } = await request(adminPort, "GET", path, { headers: basic("me", SECRET) });
      expect(status).toBe(200);
      expect(text).not.toContain(SECRET);
    }
    await writeFile(tokenFile, "the-next-one");
    child.kill("SIGHUP");
    await expect.poll(() => statusOf(adminPort, "/metrics", bearer("the-next-one"))).toBe(200);
    expect(await statusOf(adminPort, "/metrics", bearer(SECRET))).toBe(401);
    expect(await statusOf(adminPort, "/livez")).toBe(200);
    expect(lines.join("\n")).not.toMatch(/correct-horse|the-next-one/);

    const args = ["dist/cli.js", "--upstream", scene.upstream.url, "--listen", "127.0.0.1:0"];
    const printed = await run(process.execPath, [...args, "--check-config"], { env });
    expect(printed).toMatchObject({ code: 0, stderr: "" });
    expect(printed.stdout).toContain(`tokenFile: ${tokenFile}\n`);
    expect(printed.stdout).not.toContain("the-next-one");
    await writeFile(tokenFile, "");
    const again = await run(process.execPath, [...args, "--admin-listen", "127.0.0.1:0"], { env });
    expect(again).toMatchObject({ code: 2, stdout: "" });
    expect(again.stderr).toBe(
      `admin.tokenFile: "${tokenFile}": contains no secret: must be a file with one secret on one line\n`,
    );
  });
});
