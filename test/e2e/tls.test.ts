/** TLS on both sides, Unix sockets and IPv6: the same upload path over every kind of connection. */
import { randomBytes, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { Worker } from "node:worker_threads";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { BAD_PEM_CASES, installBad, type PemKey } from "../support/bad-pem.js";
import { sha256 } from "../support/bytes.js";
import { type Authority, type Certificate, createAuthority } from "../support/certificates.js";
import { startCommand } from "../support/cli.js";
import { startProxy, type TestProxy, type TestProxyConfig } from "../support/proxy.js";
import { connect, Peer, request } from "../support/raw-http.js";
import { type RecordingUpstream, startRecordingUpstream } from "../support/recording-upstream.js";
import { describeWith } from "../support/requirements.js";
import { run } from "../support/run.js";
import { CHUNKED, FILE, readSlowly, SIZE } from "./scene.js";

/** Uploads over each kind of connection to a Glance that answers fast. */
const QUICK_ANSWERS = Number(process.env["QUICK_ANSWERS"] ?? 60);

/** Runs in a thread of its own, so that its answer can be there before the proxy hears that its last write was accepted. */
const QUICK_GLANCE = `
  const { parentPort, workerData } = require("node:worker_threads");
  const { createServer } = require(workerData.tls ? "node:https" : "node:http");
  const server = createServer(workerData.tls ?? {}, (request, response) => {
    request.resume().once("end", () => response.writeHead(204, { connection: "close" }).end());
  });
  server.listen(workerData.address, () => parentPort.postMessage(server.address()));
`;

interface QuickGlance {
  readonly url: string;
  readonly stop: () => Promise<unknown>;
}

async function startQuickGlance(address: object, tls: object | undefined): Promise<QuickGlance> {
  const thread = new Worker(QUICK_GLANCE, { eval: true, workerData: { address, tls } });
  const [at] = (await once(thread, "message")) as [AddressInfo | string];
  const url = typeof at === "string" ? `unix:${at}` : `https://127.0.0.1:${at.port}`;
  return { url, stop: () => thread.terminate() };
}

describeWith(["openssl"], "TLS, Unix sockets and IPv6", () => {
  let authority: Authority;
  let directory: string;
  const cleanUp: (() => unknown)[] = [];
  beforeAll(async () => {
    authority = await createAuthority();
    directory = await mkdtemp(join(tmpdir(), "tls-"));
  });
  afterEach(async () => {
    for (const act of cleanUp.splice(0).reverse()) await act();
  });
  afterAll(async () => {
    await authority.remove();
    await rm(directory, { recursive: true, force: true });
  });

  async function startUpstream(
    server?: Parameters<typeof startRecordingUpstream>[0],
  ): Promise<RecordingUpstream> {
    const upstream = await startRecordingUpstream(server);
    cleanUp.push(() => upstream.stop());
    return upstream;
  }

  async function start(upstream: RecordingUpstream, config: TestProxyConfig = {}): Promise<TestProxy> {
    const proxy = await startProxy(upstream.url, config);
    cleanUp.push(() => proxy.stop());
    return proxy;
  }

  async function install(
    { certFile, keyFile }: Certificate,
    at: Pick<Certificate, "certFile" | "keyFile">,
  ): Promise<void> {
    await copyFile(certFile, at.certFile);
    await copyFile(keyFile, at.keyFile);
  }

  async function connectSecurely(port: number, client?: Certificate): Promise<Peer & { socket: TLSSocket }> {
    const pem = client ? await client.pem() : {};
    const socket = connectTls({
      port,
      host: "127.0.0.1",
      ...pem,
      ca: (await authority.pem()).cert,
      servername: "proxy.test",
    });
    await once(socket, "secureConnect");
    const peer = new Peer(socket);
    cleanUp.push(() => peer.destroy());
    return peer as Peer & { socket: TLSSocket };
  }

  /** An upload whose size is one byte short, over any connection: counted, cut and answered. */
  function sendTooMuch(peer: Peer): void {
    peer.sendHead("PUT", "/v2/images/one/file", {
      "x-openstack-image-size": 4,
      "Transfer-Encoding": "chunked",
    });
    peer.sendChunk("hello").endChunks();
  }

  it("serves HTTPS, and forwards https as the protocol", async () => {
    const upstream = await startUpstream();
    const { certFile, keyFile } = await authority.issue("proxy.test");
    const proxy = await start(upstream, { listen: { tls: { certFile, keyFile } } });
    expect(proxy.url).toMatch(/^https:/);
    const peer = await connectSecurely(proxy.port);
    peer.sendHead("PUT", "/v2/images/one/file", { "Content-Length": 5 }).send("hello");
    expect((await peer.response()).status).toBe(204);
    expect(upstream.uploads[0]).toMatchObject({ bytes: 5, complete: true });
    expect(upstream.uploads[0]?.headers["x-forwarded-proto"]).toBe("https");
    sendTooMuch(peer);
    expect((await peer.response()).text).toContain("Size exceeds: expected 4 bytes, got 5 bytes");
  });

  it("closes a connection whose handshake fails, so that it can be drained", async () => {
    const upstream = await startUpstream();
    const { certFile, keyFile } = await authority.issue("proxy.test");
    const proxy = await start(upstream, { listen: { tls: { certFile, keyFile } } });
    const peer = await connect(proxy.port);
    cleanUp.push(() => peer.destroy());
    await expect(peer.closed(15_000)).resolves.toBeDefined();
    await proxy.drain();
  });

  it("admits only clients with a certificate if listen.tls.clientCaFile is set", async () => {
    const upstream = await startUpstream();
    const { certFile, keyFile } = await authority.issue("proxy.test");
    const proxy = await start(upstream, {
      listen: { tls: { certFile, keyFile, clientCaFile: authority.certFile } },
    });
    const stranger = await connectSecurely(proxy.port);
    stranger.sendHead("GET", "/v2/images");
    await expect(stranger.response()).rejects.toThrow();
    expect(upstream.requests).toEqual([]);
    const member = await connectSecurely(proxy.port, await authority.issue("member"));
    member.sendHead("GET", "/v2/images");
    expect((await member.response()).status).toBe(200);
  });

  it("reads its certificate again on request, without dropping an upload; a bad file changes nothing", async () => {
    const upstream = await startUpstream();
    const [first, second] = [await authority.issue("proxy.test"), await authority.issue("proxy.test", 2)];
    const files = { certFile: join(directory, "live.crt"), keyFile: join(directory, "live.key") };
    const expiry = async ({ certFile }: Certificate): Promise<number> =>
      Date.parse(new X509Certificate(await readFile(certFile)).validTo) / 1000;
    await install(first, files);
    const proxy = await start(upstream, { listen: { tls: files } });
    const metric = () => proxy.metric('tls_certificate_expiry_timestamp_seconds{side="listen"}');
    expect(await metric()).toBe(await expiry(first));
    const peer = await connectSecurely(proxy.port);
    const before = peer.socket.getPeerCertificate().fingerprint256;
    peer.sendHead("PUT", "/v2/images/one/file", { "Content-Length": 10 }).send("hello");
    await expect.poll(() => upstream.uploads[0]?.bytes).toBe(5);

    await writeFile(files.certFile, "rubbish");
    await proxy.reload();
    expect(proxy.logged.at(-1)).toMatchObject({
      level: "error",
      faults: [expect.stringContaining("certFile")],
    });
    const still = await connectSecurely(proxy.port);
    expect(still.socket.getPeerCertificate().fingerprint256).toBe(before);

    await install(second, files);
    await proxy.reload();
    const after = await connectSecurely(proxy.port);
    expect(after.socket.getPeerCertificate().fingerprint256).not.toBe(before);
    expect(await metric()).toBe(await expiry(second));

    peer.send("world");
    expect((await peer.response()).status).toBe(204);
  });

  it.each([
    [
      "certFile",
      { certFile: "/nowhere.pem", keyFile: "/nowhere.pem" },
      /listen\.tls\.certFile: "\/nowhere\.pem".*ENOENT/,
    ],
    ["keyFile", { certFile: "/nowhere.pem" }, /listen\.tls\.keyFile.*must be set together/],
  ])("names %s in the fault if it cannot be used", async (_, tls, message) => {
    await expect(startProxy("http://127.0.0.1:1", { listen: { tls } })).rejects.toThrow(message);
  });

  /** Good files for every key, with names of their own. */
  async function installAll(own: Certificate): Promise<Record<PemKey, string>> {
    const of = (name: string): string => join(directory, name);
    const paths = { certFile: of("every.crt"), keyFile: of("every.key"), caFile: of("every-ca.crt") };
    for (const path of Object.values(paths)) await rm(path, { recursive: true, force: true });
    await install(own, paths);
    await copyFile(authority.certFile, paths.caFile);
    return paths;
  }

  /** How the two sides take them. */
  const SIDES = [
    ["listen", ({ caFile, ...own }: Record<PemKey, string>) => ({ ...own, clientCaFile: caFile })],
    ["upstream", (paths: Record<PemKey, string>) => paths],
  ] as const;
  const BAD_FILES = SIDES.flatMap(([side, tls]) =>
    BAD_PEM_CASES.map(([key, name, bad]) => {
      const named = `${side}.tls.${side === "listen" && key === "caFile" ? "clientCaFile" : key}`;
      return [named, name, { side, key, bad, tls }] as const;
    }),
  );

  it.each(BAD_FILES)("does not start if %s is %s", async (named, _, { side, key, bad, tls }) => {
    const own = await authority.issue("proxy.test");
    const paths = await installAll(own);
    const says = await installBad(bad, key, own, paths[key]);
    const start = startProxy("https://127.0.0.1:1", { [side]: { tls: tls(paths) } });
    await expect(start).rejects.toThrow(`${named}: "${paths[key]}": ${says}: must be `);
  });

  it.each(BAD_FILES)(
    "keeps what it had if %s is %s when the files are read again",
    async (named, _, { side, key, bad, tls }) => {
      const own = await authority.issue("proxy.test");
      const server = createHttpsServer({
        ...(await (await authority.issue("127.0.0.1")).pem()),
        ca: (await authority.pem()).cert,
        requestCert: true,
        rejectUnauthorized: true,
      });
      /** The certificates that are seen: Glance sees the proxy's, and a client does. */
      const seen: string[] = [];
      server.on("request", ({ socket }: { socket: TLSSocket }) => {
        seen.push(socket.getPeerCertificate().fingerprint256);
      });
      const upstream = await startUpstream(server);
      const paths = await installAll(own);
      const good = { certFile: own.certFile, keyFile: own.keyFile };
      const proxy = await start(upstream, {
        listen: { tls: side === "listen" ? tls(paths) : good },
        upstream: { tls: side === "upstream" ? tls(paths) : { ...good, caFile: authority.certFile } },
      });
      const upload = async (): Promise<void> => {
        const peer = await connectSecurely(proxy.port, own);
        peer.sendHead("PUT", FILE, { "Content-Length": 5 }).send("hello");
        expect((await peer.response()).status).toBe(204);
        seen.push(peer.socket.getPeerCertificate().fingerprint256);
      };
      await upload();

      // If the good ones of these were taken without the bad one, the certificate would be another.
      await install(await authority.issue("proxy.test"), paths);
      const says = await installBad(bad, key, own, paths[key]);
      await proxy.reload();
      expect(proxy.logged.filter(({ level }) => level === "error")).toEqual([
        expect.objectContaining({
          faults: [expect.stringContaining(`${named}: "${paths[key]}": ${says}: must be `) as string],
        }),
      ]);
      await upload();
      expect(new Set(seen).size).toBe(1);
      expect(upstream.uploads).toMatchObject(Array(2).fill({ bytes: 5, complete: true }));
    },
  );

  it("refuses the key of another certificate, at the start and on reload", async () => {
    const [own, other] = [await authority.issue("proxy.test"), await authority.issue("proxy.test")];
    const paths = await installAll(own);
    const { certFile, keyFile } = paths;
    const upstream = await startUpstream();
    const proxy = await start(upstream, { listen: { tls: { certFile, keyFile } } });
    const before = (await connectSecurely(proxy.port)).socket.getPeerCertificate().fingerprint256;
    await copyFile(other.certFile, certFile);
    await proxy.reload();
    const fault = `listen.tls.keyFile: "${keyFile}": is not the key of "${certFile}": must be that certificate's key`;
    expect(proxy.logged.filter(({ level }) => level === "error")).toMatchObject([{ faults: [fault] }]);
    const after = (await connectSecurely(proxy.port)).socket.getPeerCertificate().fingerprint256;
    expect(after).toBe(before);
    await expect(
      startProxy("http://127.0.0.1:1", { listen: { tls: { certFile, keyFile } } }),
    ).rejects.toThrow(fault);
  });

  it.each([1, 2])(
    "with workers: %i, the command says each fault and ends with 2, or goes on",
    async (workers) => {
      const own = await authority.issue("proxy.test");
      const paths = await installAll(own);
      const env = {
        GLANCE_SIZE_PROXY_WORKERS: String(workers),
        GLANCE_SIZE_PROXY_LISTEN__TLS__CERT_FILE: paths.certFile,
        GLANCE_SIZE_PROXY_LISTEN__TLS__KEY_FILE: paths.keyFile,
        GLANCE_SIZE_PROXY_LISTEN__TLS__CLIENT_CA_FILE: paths.caFile,
      };
      const upstream = await startUpstream();
      const command = await startCommand(upstream.url, env);
      cleanUp.push(() => command.stop());
      await writeFile(paths.keyFile, "");
      await writeFile(paths.caFile, "rubbish");
      command.child.kill("SIGHUP");
      const faults = (): unknown[] =>
        command.lines
          .map((line) => JSON.parse(line) as Record<string, unknown>)
          .filter(({ level }) => level === "error")
          .map(({ faults }) => faults);
      await expect.poll(() => faults().length).toBe(1);
      const said = ["keyFile", "clientCaFile"].map(
        (key) => expect.stringContaining(`listen.tls.${key}: "`) as string,
      );
      for (const told of faults()) expect(told).toEqual(expect.arrayContaining(said));
      for (let count = 0; count < workers; count += 1) {
        const peer = await connectSecurely(command.port, own);
        peer.sendHead("GET", "/v2/images");
        expect((await peer.response()).status).toBe(200);
      }

      const args = ["dist/cli.js", "--upstream", upstream.url, "--listen", "127.0.0.1:0"];
      const again = await run(process.execPath, [...args, "--admin-listen", "127.0.0.1:0"], { env });
      expect(again).toMatchObject({ code: 2, stdout: "" });
      expect(again.stderr.trimEnd().split("\n")).toEqual(said);
    },
  );

  it("uses HTTPS with a client certificate to Glance, whatever Host the client sends", async () => {
    const pem = await (await authority.issue("127.0.0.1")).pem();
    const ca = (await authority.pem()).cert;
    const upstream = await startUpstream(
      createHttpsServer({ ...pem, ca, requestCert: true, rejectUnauthorized: true }),
    );
    const { certFile, keyFile } = await authority.issue("the proxy");
    const proxy = await start(upstream, {
      upstream: { tls: { caFile: authority.certFile, certFile, keyFile } },
    });
    const headers = { Host: "images.example" };
    const listed = await request(proxy.port, "GET", "/v2/images", { headers });
    expect(listed.status).toBe(200);
    const stored = await request(proxy.port, "PUT", "/v2/images/one/file", { headers, body: "hello" });
    expect(stored.status).toBe(204);
    expect(upstream.uploads[0]).toMatchObject({ bytes: 5, complete: true });
    expect((await request(proxy.adminPort, "GET", "/readyz")).status).toBe(200);
    expect(await proxy.metric('tls_certificate_expiry_timestamp_seconds{side="upstream"}')).toBeGreaterThan(
      0,
    );
  });

  it.each([
    ["declared", {}],
    ["spooled", { size: { unknown: "spool" }, spool: { dir: tmpdir(), memory: "256KiB" } }],
  ] as const)("sends every byte over it as it was: %s", async (how, config) => {
    const upstream = await startUpstream(createHttpsServer(await (await authority.issue("127.0.0.1")).pem()));
    const proxy = await start(upstream, { ...config, upstream: { tls: { caFile: authority.certFile } } });
    const seen = readSlowly(upstream);
    const body = randomBytes(8 * 1024 * 1024 + 1);
    const peer = await connect(proxy.port);
    peer.sendHead("PUT", FILE, { ...CHUNKED, ...(how === "declared" ? { [SIZE]: body.length } : {}) });
    for (let at = 0; at < body.length; at += 100_000) peer.sendChunk(body.subarray(at, at + 100_000));
    peer.endChunks();
    expect((await peer.response()).status).toBe(204);
    expect(seen.digest()).toBe(sha256(body));
    peer.destroy();
  });

  it("presents a new certificate to Glance after a reload, even if a connection could be reused", async () => {
    const pem = await (await authority.issue("127.0.0.1")).pem();
    const server = createHttpsServer({
      ...pem,
      ca: (await authority.pem()).cert,
      requestCert: true,
      keepAliveTimeout: 60_000,
    });
    const names: string[] = [];
    server.on("request", ({ socket }: { socket: TLSSocket }) => {
      names.push(socket.getPeerCertificate().subject.CN as string);
    });
    const upstream = await startUpstream(server);
    const files = { certFile: join(directory, "own.crt"), keyFile: join(directory, "own.key") };
    await install(await authority.issue("one"), files);
    const proxy = await start(upstream, { upstream: { tls: { caFile: authority.certFile, ...files } } });
    await request(proxy.port, "GET", "/v2/images");
    await request(proxy.port, "GET", "/v2/images");
    await install(await authority.issue("two"), files);
    await proxy.reload();
    await request(proxy.port, "GET", "/v2/images");
    expect(names).toEqual(["one", "one", "two"]);
  });

  it.each([
    ["an authority nobody trusts", {}, 502],
    ["another name", { servername: "other.test" }, 502],
    ["anything, when told not to look", { rejectUnauthorized: false }, 204],
  ])("with a Glance whose certificate is of %s, answers %#", async (_, tls, status) => {
    const upstream = await startUpstream(createHttpsServer(await (await authority.issue("127.0.0.1")).pem()));
    const known = "servername" in tls ? { caFile: authority.certFile } : {};
    const proxy = await start(upstream, { upstream: { tls: { ...known, ...tls } } });
    const answer = await request(proxy.port, "PUT", "/v2/images/one/file", { body: "hello" });
    expect(answer.status).toBe(status);
    expect(upstream.uploads.length).toBe(status === 204 ? 1 : 0);
  });

  it("reaches a Glance on a Unix socket", async () => {
    const server = createServer();
    server.listen(join(directory, "glance.sock"));
    await once(server, "listening");
    const upstream = await startUpstream(server);
    const proxy = await start(upstream);
    expect((await request(proxy.port, "GET", "/v2/images?limit=1")).text).toBe("GET /v2/images?limit=1");
    expect((await request(proxy.port, "PUT", "/v2/images/one/file", { body: "hello" })).status).toBe(204);
    expect((await request(proxy.adminPort, "GET", "/readyz")).status).toBe(200);
  });

  it.each(["a Unix socket", "TLS"])("a quick answer over %s is not taken for an early one", async (way) => {
    const address = way === "TLS" ? { port: 0, host: "127.0.0.1" } : { path: join(directory, "quick.sock") };
    const { cert, key } = await (await authority.issue("127.0.0.1")).pem();
    const tls = way === "TLS" ? { cert: cert.toString(), key: key.toString() } : undefined;
    const { url, stop } = await startQuickGlance(address, tls);
    cleanUp.push(stop);
    const proxy = await startProxy(url, {
      upload: { relay: "auto" },
      upstream: tls ? { tls: { caFile: authority.certFile } } : {},
    });
    cleanUp.push(() => proxy.stop());
    const body = Buffer.alloc(2 * 1024 * 1024);
    const headers = { "x-openstack-image-size": body.length };
    for (let upload = 0; upload < QUICK_ANSWERS; upload += 1) {
      const answer = await request(proxy.port, "PUT", "/v2/images/one/file", { body, headers });
      expect(answer.status, answer.text).toBe(204);
    }
  });

  it("listens and connects over IPv6", async () => {
    const server = createServer();
    server.listen(0, "::1");
    await once(server, "listening");
    const upstream = await startUpstream(server);
    const proxy = await start(upstream, { listen: { address: "[::1]:0" } });
    expect(proxy.url).toMatch(/^http:\/\/\[::1\]:\d+$/);
    const peer = await connect(proxy.port, "::1");
    cleanUp.push(() => peer.destroy());
    peer.sendHead("PUT", "/v2/images/one/file", { "Content-Length": 5 }).send("hello");
    expect((await peer.response()).status).toBe(204);
    expect(upstream.uploads[0]?.headers["x-forwarded-for"]).toBe("::1");
  });
});
