/** `glance-size-proxy doctor`: what it says of Glances that are well, of Glances that are not, and of what is no Glance. */
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, createServer as createNetServer } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadWithoutListening } from "../../src/config/load.js";
import type { CheckResult } from "../../src/doctor/check.js";
import { runDoctor } from "../../src/doctor/doctor.js";
import { type Authority, createAuthority } from "../support/certificates.js";
import { startHangingListener } from "../support/hanging-listener.js";
import { borrowGlance } from "../support/lent-glances.js";
import { startProxy } from "../support/proxy.js";
import { request } from "../support/raw-http.js";
import { type Glance, startRealGlance } from "../support/real-glance.js";
import { describeWith } from "../support/requirements.js";
import { run } from "../support/run.js";
import { startStandIn } from "../support/stand-in.js";

const TOKEN = "a-token-nobody-may-see";
const WITH_TOKEN = { token: TOKEN };
const TOKEN_FLAG = ["--token", TOKEN];
/** Tests wait at once, each for servers of its own, which end with the file. */
const cleanUp: (() => unknown)[] = [];
afterAll(async () => {
  for (const act of cleanUp.splice(0).reverse()) await act();
});

interface Report {
  readonly code: number;
  readonly text: string;
  readonly checks: readonly CheckResult[];
  readonly finding: (check: string) => CheckResult | undefined;
}

/** By the command, in a process of its own. */
async function examineByCommand(url: string, args: readonly string[] = [], env = {}): Promise<Report> {
  const doctor = ["dist/cli.js", "doctor", "--upstream", url];
  const { code, stdout, stderr } = await run(process.execPath, [...doctor, "--json", ...args], { env });
  expect(stderr).toBe("");
  return read(code, stdout);
}

/** As the command does it, in this process. */
async function examine(url: string, token: { token?: string } = {}, env = {}): Promise<Report> {
  const config = loadWithoutListening({ flags: { upstream: url }, env, readFile: () => "" });
  let text = "";
  const options = { config, token: token.token, readOnly: false, json: true };
  const healthy = await runDoctor(options, (piece) => (text += piece));
  return read(healthy ? 0 : 1, text);
}

function read(code: number, text: string): Report {
  const { checks, healthy } = JSON.parse(text) as { checks: CheckResult[]; healthy: boolean };
  expect(healthy).toBe(code === 0);
  for (const { detail, remedy = "" } of checks) expect(detail + remedy).not.toMatch(/[\n\r]/);
  expect(text).not.toContain(TOKEN);
  return { code, text, checks, finding: (name) => checks.find(({ check }) => check === name) };
}

/** Every image that is left. */
async function images(port: number): Promise<unknown[]> {
  return ((await request(port, "GET", "/v2/images")).json() as { images: unknown[] }).images;
}

/** How a server differs from the others. */
interface Expected {
  readonly clock: "ok" | "unknown";
  readonly keepsAlive: boolean;
  readonly length: "ok" | "hint";
  readonly stores: "ok" | "unknown";
  readonly continues: boolean;
  readonly pauses: CheckResult["finding"];
}

function testHealthy(name: string, start: () => Promise<Glance>, expected: Expected): void {
  it.concurrent(`${name} is well, and no image is left behind`, async () => {
    const glance = await start();
    cleanUp.push(() => glance.stop());
    const { code, checks, finding } = await examineByCommand(glance.url, TOKEN_FLAG);
    expect(checks.map((one) => [one.check, one.finding])).toEqual([
      ["reachable", "ok"],
      ["clock", expected.clock],
      ["server", "ok"],
      ["keep-alive", "ok"],
      ["answer length", expected.length],
      ["stores", expected.stores],
      ["size header", "ok"],
      ["Content-Length", "ok"],
      ["100 Continue", "ok"],
      ["roll-back", "ok"],
      ["pauses", expected.pauses],
    ]);
    expect(finding("reachable")?.detail).toMatch(/^Glance, image API v2\.\d+$/);
    expect(finding("reachable")?.facts).toMatchObject({ found: "glance" });
    expect(finding("keep-alive")?.facts).toEqual({ keepsAlive: expected.keepsAlive });
    expect(finding("size header")?.detail).toMatch(/^ignored: a Glance before 2025\.2/);
    expect(finding("100 Continue")?.facts).toMatchObject({ continues: expected.continues });
    expect(finding("roll-back")?.detail).toMatch(/ queued again within \d+ ms$/);
    expect(code).toBe(0);
    expect(await images(glance.port)).toEqual([]);
  });
}

describe.concurrent("of each kind,", () => {
  testHealthy("the stand-in", startStandIn, {
    clock: "ok",
    keepsAlive: true,
    length: "ok",
    stores: "unknown",
    continues: true,
    pauses: "unknown",
  });
  describeWith(["glance-api"], "a real Glance", () => {
    testHealthy("Glance under eventlet", () => startRealGlance({ server: "eventlet" }), {
      clock: "ok",
      keepsAlive: true,
      length: "ok",
      stores: "ok",
      continues: true,
      pauses: "unknown",
    });

    it("is found if upstream.url has a wrong path", async () => {
      const glance = await borrowGlance("eventlet");
      const before = (await glance.executed()).length;
      cleanUp.push(() => glance.stop());
      for (const path of ["/image", "/v2"]) {
        const { finding } = await examine(glance.url + path, WITH_TOKEN);
        expect(finding("reachable")).toMatchObject({
          finding: "problem",
          detail: `no Glance at the path ${path}, but found one at ${glance.url}`,
          remedy: `set upstream.url to ${glance.url}`,
        });
      }
      expect((await glance.executed(before)).filter(({ token }) => token !== null)).toEqual([]);
    });
  });
  describeWith(["glance-api", "uwsgi"], "a real Glance under uWSGI", () => {
    // Debian's uWSGI: no Date, no Content-Length, `socket-timeout = 10`.
    testHealthy("Glance under uWSGI", () => startRealGlance({ server: "uwsgi" }), {
      clock: "unknown",
      keepsAlive: false,
      length: "hint",
      stores: "ok",
      continues: false,
      pauses: "hint",
    });
  });
});

const VERSIONS = {
  versions: [
    { id: "v2.17", status: "CURRENT", links: [{ rel: "self", href: "http://glance.example/v2/" }] },
    { id: "v2.0", status: "SUPPORTED", links: [{ rel: "self", href: "http://glance.example/v2/" }] },
  ],
};

/** As much of a Glance as the doctor asks for, with faults. */
interface Faults {
  readonly honoursHeader?: boolean;
  readonly wantsToken?: boolean;
  readonly keepsCutUploads?: boolean;
  readonly keepsImages?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  /** As uWSGI: never says `100 Continue`, and ends an upload that pauses for so long. */
  readonly endsPauseAfterMs?: number;
  readonly stores?: unknown;
  /** As behind Apache, which passes nothing on before it has so many bytes. */
  readonly buffersBytes?: number;
  /** Below which it is, such as `/image`. */
  readonly path?: string;
}

function scripted(faults: Faults): RequestListener {
  let image: { id: string; status: string; size: number | null };
  return (incoming, response) => {
    const { method, headers } = incoming;
    const path = faults.path ?? "";
    const url = incoming.url?.startsWith(path) ? incoming.url.slice(path.length) : undefined;
    const answer = (status: number, value?: unknown): void => {
      for (const [name, text] of Object.entries(faults.headers ?? {})) response.setHeader(name, text);
      response.writeHead(status).end(value === undefined ? "" : JSON.stringify(value));
    };
    if (url === undefined) return answer(404);
    if (url === "/versions") return answer(200, VERSIONS);
    if (!url.startsWith("/v2/")) return answer(300, VERSIONS);
    if (faults.wantsToken && headers["x-auth-token"] !== TOKEN) return answer(401);
    if (url.startsWith("/v2/info/")) {
      return faults.stores === undefined ? answer(404) : answer(200, { stores: faults.stores });
    }
    if (method === "POST") {
      image = { id: "one", status: "queued", size: null };
      return answer(201, image);
    }
    if (method === "GET") return answer(200, image);
    if (method === "DELETE") return answer(faults.keepsImages ? 409 : 204);
    let bytes = 0;
    const begin = (): void => {
      if (bytes >= (faults.buffersBytes ?? 0)) image.status = "saving";
    };
    begin();
    const putBack = (): void => {
      image.status = faults.keepsCutUploads ? "active" : "queued";
    };
    let timer: NodeJS.Timeout | undefined;
    if (faults.endsPauseAfterMs !== undefined && headers["content-length"] === "1000000") {
      timer = setTimeout(() => {
        putBack();
        incoming.socket.destroy();
      }, faults.endsPauseAfterMs);
    }
    incoming.on("data", (piece: Buffer) => {
      bytes += piece.length;
      begin();
    });
    incoming.once("error", putBack);
    incoming.once("close", () => clearTimeout(timer));
    incoming.once("end", () => {
      if (faults.honoursHeader && headers["x-openstack-image-size"] === "4") {
        return answer(400, { message: "Size exceeds: expected 4 bytes, got 5 bytes" });
      }
      image = { ...image, status: "active", size: bytes };
      answer(204);
    });
  };
}

interface Listening {
  readonly port: number;
  readonly url: string;
  /** `GET /versions with the token` */
  readonly asked: string[];
}

async function listen(server: Server): Promise<Listening> {
  const asked: string[] = [];
  server.on("request", ({ method, url, rawHeaders }) => {
    asked.push(`${method} ${url}${JSON.stringify(rawHeaders).includes(TOKEN) ? " with the token" : ""}`);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanUp.push(() => server.close() && server.closeAllConnections());
  const { port } = server.address() as AddressInfo;
  return { port, asked, url: `http://127.0.0.1:${port}` };
}

function start(faults: Faults): Promise<Listening> {
  const server = createServer(scripted(faults));
  if (faults.endsPauseAfterMs !== undefined) {
    server.on("checkContinue", (incoming, response) => void server.emit("request", incoming, response));
  }
  return listen(server);
}

async function url(faults: Faults): Promise<string> {
  return (await start(faults)).url;
}

describe.concurrent("the doctor reports", () => {
  it("that a Glance knows the header", async () => {
    const { code, finding } = await examine(await url({ honoursHeader: true }), WITH_TOKEN);
    expect(finding("size header")?.detail).toMatch(/^honoured: Glance 2025\.2 or later/);
    expect(code).toBe(0);
  });

  it("that a token is refused, but never the token", async () => {
    const upstream = await url({ wantsToken: true });
    const { code, text, finding } = await examineByCommand(upstream, ["--token", "another-secret"]);
    expect(finding("roll-back")).toMatchObject({ finding: "problem" });
    expect(text).not.toContain("another-secret");
    expect(code).toBe(1);
    expect((await examineByCommand(upstream, TOKEN_FLAG)).code).toBe(0);
  });

  it("that a cut upload became an image", async () => {
    const { code, finding } = await examine(await url({ keepsCutUploads: true }), WITH_TOKEN);
    expect(finding("roll-back")).toMatchObject({
      finding: "problem",
      detail: "after an aborted upload the image was active, not queued",
    });
    expect(code).toBe(1);
  });

  it("that a Glance behind Apache, which holds 16 KiB back, rolls back", async () => {
    const { code, finding } = await examine(await url({ buffersBytes: 16 * 1024 }), WITH_TOKEN);
    expect(finding("roll-back")?.finding).toBe("ok");
    expect(code).toBe(0);
  });

  it("that a server in between does not pass bodies on", async () => {
    const { code, finding } = await examine(await url({ buffersBytes: 2_000_000 }), WITH_TOKEN);
    expect(finding("roll-back")).toMatchObject({
      finding: "problem",
      detail: "the image was queued, not saving, while an upload was in progress",
      remedy: expect.stringContaining("proxy_request_buffering") as string,
    });
    expect(code).toBe(1);
  });

  it("which image it could not delete", async () => {
    const { code, finding } = await examine(await url({ keepsImages: true }), WITH_TOKEN);
    expect(finding("roll-back")?.detail).toBe("could not delete test image one (409): delete it manually");
    expect(code).toBe(1);
  });

  it("that the clocks differ", async () => {
    const headers = {
      get date() {
        return new Date(Date.now() - 120_000).toUTCString();
      },
    };
    const { code, finding } = await examine(await url({ headers }));
    expect(finding("clock")?.finding).toBe("problem");
    expect(finding("clock")?.detail).toMatch(/ differ by 12\d s/);
    expect(code).toBe(1);
  });

  it("what the server in front of Glance is like", async () => {
    const { finding } = await examine(
      await url({
        headers: { server: "Apache\u009b2Jx", connection: "close", "transfer-encoding": "chunked" },
      }),
    );
    expect(finding("server")?.detail).toBe("Apache 2Jx"); // nothing that a terminal would obey
    expect(finding("keep-alive")?.facts).toEqual({ keepsAlive: false });
    expect(finding("answer length")?.facts).toEqual({ framing: "chunked" });
  });

  it("how long an upload may pause, and that it may not be long enough", async () => {
    const glance = await start({ endsPauseAfterMs: 1_200 });
    const { code, finding } = await examine(glance.url, WITH_TOKEN);
    expect(finding("100 Continue")?.facts).toEqual({ continues: false });
    expect(finding("pauses")).toMatchObject({
      finding: "hint",
      detail: "Glance ended an upload that paused for 1 s",
      remedy: expect.stringContaining("socket-timeout") as string,
    });
    const { endedAfterMs } = finding("pauses")?.facts ?? {};
    expect(endedAfterMs).toBeGreaterThanOrEqual(1_100);
    expect(code).toBe(0);
  });

  it("the known problems of the stores", async () => {
    const stores = [
      { id: "fast", type: "rbd" },
      { id: "cheap", type: "s3" },
      { id: "volumes", type: "cinder" },
      { id: "swift" }, // the type is for administrators alone
      { id: "file", type: "file" },
      { id: "os_glance_staging_store", type: "file" },
    ];
    const { code, checks, finding } = await examine(await url({ stores, endsPauseAfterMs: 500 }), WITH_TOKEN);
    expect(finding("stores")?.detail).toBe("fast (rbd), cheap (s3), volumes (cinder), swift, file");
    const hints = checks.filter(({ check }) => check.startsWith("store "));
    expect(hints.map(({ check, finding: how, facts }) => [check, how, facts])).toEqual([
      ["store fast", "hint", { type: "rbd" }],
      ["store cheap", "hint", { type: "s3" }],
      ["store cheap", "hint", { type: "s3" }],
      ["store volumes", "hint", { type: "cinder" }],
      ["store swift", "hint", { type: "swift" }],
    ]);
    expect(hints[1]?.remedy).toContain("AbortIncompleteMultipartUpload");
    expect(hints[2]?.detail).toContain("5 GiB");
    expect(code).toBe(0);
    // Of these, RBD and Swift are unsafe under uWSGI alone.
    const elsewhere = await examine(await url({ stores }), WITH_TOKEN);
    expect(elsewhere.checks.map(({ check }) => check)).not.toContain("store fast");
  });

  it("what the configuration does with uploads of unknown size", async () => {
    const stores = [
      { id: "volumes", type: "cinder", default: "true" },
      { id: "other", type: "cinder" },
    ];
    const { checks } = await examineByCommand(await url({ stores }), [...TOKEN_FLAG, "--read-only"], {
      GLANCE_SIZE_PROXY_SIZE__RULES: '[{"store":["other","nowhere"],"unknown":"reject"}]',
      GLANCE_SIZE_PROXY_SIZE__DEFAULT_STORE: "other",
    });
    const found = checks.filter(({ check }) => /^(store |size\.)/.test(check));
    expect(found.map(({ check, finding, remedy }) => [check, finding, remedy])).toEqual([
      ["store volumes", "hint", expect.stringContaining("begin size.rules with { store: [volumes]")],
      ["size.rules", "hint", "correct the name in size.rules"],
      ["size.rules", "problem", "set size.defaultStore to volumes, Glance's default store"],
    ]);
  });

  it("that Glance refuses connections", async () => {
    const { code, checks } = await examine("http://127.0.0.1:1");
    expect(checks).toEqual([
      {
        check: "reachable",
        finding: "problem",
        detail: "Glance cannot be reached (ECONNREFUSED)",
        remedy: "start Glance, or correct the host and port of upstream.url",
        facts: { found: "refused" },
      },
    ]);
    expect(code).toBe(1);
  });

  it("that the name is unknown", async () => {
    const { finding } = await examine("http://glance.invalid");
    expect(finding("reachable")).toMatchObject({
      facts: { found: "unknown_name" },
      remedy: expect.stringContaining("host name") as string,
    });
  });

  it("that a connection to Glance does not open in time", async () => {
    const listener = await startHangingListener();
    cleanUp.push(() => listener.stop());
    const env = { GLANCE_SIZE_PROXY_UPSTREAM__CONNECT_TIMEOUT: "500ms" };
    const { finding } = await examine(listener.url, {}, env);
    expect(finding("reachable")).toMatchObject({ facts: { found: "no_way" } });
  });

  it("that upstream.url is the proxy itself", async () => {
    const glance = await startStandIn();
    cleanUp.push(() => glance.stop());
    const proxy = await startProxy(glance.url);
    cleanUp.push(() => proxy.stop());
    const { code, finding } = await examine(proxy.url);
    expect(finding("reachable")?.detail).toContain("this is glance-size-proxy itself");
    expect(code).toBe(1);
  });

  it("each check as one line of a table", async () => {
    const args = ["dist/cli.js", "doctor", "--upstream", "http://127.0.0.1:1"];
    const { stdout } = await run(process.execPath, args);
    expect(stdout).toBe(
      "reachable  problem  Glance cannot be reached (ECONNREFUSED): start Glance, or correct the host and port of upstream.url\n",
    );
  });
});

describe.concurrent("the doctor creates no image", () => {
  const WRITES = /^(POST|PUT|PATCH|DELETE)/;

  it("without a token, even if Glance does not require one", async () => {
    const glance = await start({});
    const { code, finding } = await examine(glance.url);
    for (const check of ["size header", "Content-Length", "100 Continue", "roll-back", "pauses"]) {
      expect(finding(check)).toEqual({
        check,
        finding: "unknown",
        detail: "not checked: this needs a test image",
        remedy: "give --token, or set OS_TOKEN",
      });
    }
    expect(glance.asked.filter((one) => WRITES.test(one))).toEqual([]);
    expect(code).toBe(0);
  });

  it("with --read-only, but reads the list of stores", async () => {
    const glance = await start({ wantsToken: true, stores: [{ id: "s3", type: "s3" }] });
    const { finding } = await examineByCommand(glance.url, [...TOKEN_FLAG, "--read-only"]);
    expect(finding("size header")).toMatchObject({ finding: "unknown", remedy: "run without --read-only" });
    expect(finding("store s3")?.finding).toBe("hint");
    expect(glance.asked.filter((one) => WRITES.test(one))).toEqual([]);
    expect(glance.asked).toContain("GET /v2/info/stores/detail with the token");
  });
});

describe.concurrent("a server that is not Glance is named and gets no token:", () => {
  const json = (status: number, value: unknown): RequestListener => {
    return (_incoming, response) => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
    };
  };
  const link = (href: string): object[] => [{ rel: "self", href: `http://service.example:1${href}` }];
  /** Has its version list at `/` alone. */
  const atRoot =
    (listed: RequestListener): RequestListener =>
    (incoming, response) =>
      incoming.url === "/"
        ? listed(incoming, response)
        : void response.writeHead(404, { "content-type": "text/html" }).end("<!doctype html>Not Found");
  const media = (type: string): object[] => [{ base: "application/json", type }];

  const CASES: [string, RequestListener, string, RegExp][] = [
    [
      "Keystone",
      atRoot(
        json(300, {
          versions: {
            values: [
              {
                id: "v3.14",
                status: "stable",
                updated: "2020-04-07T00:00:00Z",
                links: link("/v3/"),
                "media-types": media("application/vnd.openstack.identity-v3+json"),
              },
            ],
          },
        }),
      ),
      "keystone",
      /this is Keystone, not Glance/,
    ],
    [
      "Nova",
      (incoming, response) => {
        const versions = [
          { id: "v2.0", status: "SUPPORTED", version: "", min_version: "", updated: "2011-01-21T11:33:21Z" },
          { id: "v2.1", status: "CURRENT", version: "2.93", min_version: "2.1" },
        ].map((version) => ({ ...version, links: link(`/${version.id === "v2.0" ? "v2" : "v2.1"}/`) }));
        const choices = [
          { id: "v2.1", "media-types": media("application/vnd.openstack.compute+json;version=2.1") },
        ];
        if (incoming.url === "/") json(200, { versions })(incoming, response);
        else json(300, { choices })(incoming, response);
      },
      "nova",
      /this is Nova, not Glance/,
    ],
    [
      "Nova whose list is everywhere",
      json(200, {
        versions: [
          { id: "v2.0", status: "SUPPORTED", version: "", min_version: "", links: link("/v2/") },
          { id: "v2.1", status: "CURRENT", version: "2.93", min_version: "2.1", links: link("/v2.1/") },
        ],
      }),
      "nova",
      /this is Nova/,
    ],
    [
      "Cinder",
      json(300, {
        versions: [
          {
            id: "v3.0",
            status: "CURRENT",
            version: "3.70",
            min_version: "3.0",
            links: link("/v3/"),
            "media-types": media("application/vnd.openstack.volume+json;version=3"),
          },
        ],
      }),
      "cinder",
      /this is Cinder/,
    ],
    [
      "Neutron",
      json(200, { versions: [{ id: "v2.0", status: "CURRENT", links: link("/v2.0/") }] }),
      "neutron",
      /this is Neutron/,
    ],
    [
      "Placement",
      atRoot(
        json(200, {
          versions: [
            { id: "v1.0", status: "CURRENT", min_version: "1.0", max_version: "1.39", links: link("") },
          ],
        }),
      ),
      "placement",
      /this is Placement/,
    ],
    [
      "Swift",
      (_incoming, response) => void response.writeHead(412, { "x-trans-id": "tx1-2-3" }).end("Bad URL"),
      "swift",
      /this is Swift/,
    ],
    [
      "Octavia",
      json(200, {
        versions: [{ id: "v2.0", status: "CURRENT", updated: "2018-01-01T00:00:00Z", links: link("/v2") }],
      }),
      "octavia",
      /this is Octavia/,
    ],
    [
      "Ironic",
      json(200, { name: "OpenStack Ironic API", versions: [{ id: "v1" }] }),
      "ironic",
      /this is Ironic/,
    ],
    [
      "a service that is new",
      json(200, { versions: [{ id: "v2.0", status: "CURRENT", links: link("/v2/"), novelty: true }] }),
      "openstack",
      /like an OpenStack service, but not like Glance/,
    ],
    [
      "a balancer without a Glance",
      (_incoming, response) =>
        void response
          .writeHead(503, { "content-type": "text/html" })
          .end("<html><body><h1>503 Service Unavailable</h1>"),
      "gateway",
      /answered 503: it cannot reach Glance/,
    ],
    [
      "a redirect",
      (incoming, response) =>
        void response.writeHead(301, { location: `https://images.example${incoming.url}?secret=1` }).end(),
      "redirect",
      /answered 301, a redirect to https:\/\/images\.example$/,
    ],
    [
      "a web page",
      (_incoming, response) =>
        void response
          .writeHead(200, { "content-type": "text/html", server: "Apache/2.4" })
          .end("<!DOCTYPE html><p>It works!"),
      "web_page",
      /answered 200 with a web page \(Apache\/2\.4\)/,
    ],
    [
      "something that asks for a password",
      (_incoming, response) => void response.writeHead(401, { "www-authenticate": "Basic" }).end(),
      "guarded",
      /answered 401, but Glance serves \/versions without authentication/,
    ],
    [
      "a server that wants a client certificate",
      (_incoming, response) =>
        void response
          .writeHead(400, { "content-type": "text/html" })
          .end("<html><center>No required SSL certificate was sent</center></html>"),
      "wants_certificate",
      /presented no client certificate/,
    ],
    [
      "something that answers anything",
      (_incoming, response) => void response.end("It works!"),
      "unknown",
      /^not a Glance/,
    ],
    [
      "something whose answer has no end",
      (_incoming, response) => {
        const go = (): void => {
          while (response.writable && response.write("x".repeat(65_536)));
        };
        response.on("drain", go);
        go();
      },
      "unknown",
      /^not a Glance/,
    ],
  ];

  it.each(CASES)("%s", async (_name, act, found, detail) => {
    const { url, asked } = await listen(createServer(act));
    const { code, checks } = await examine(url, WITH_TOKEN);
    expect(checks).toMatchObject([
      {
        check: "reachable",
        finding: "problem",
        detail: expect.stringMatching(detail) as string,
        remedy: expect.stringMatching(/./) as string,
        facts: { found },
      },
    ]);
    expect(code).toBe(1);
    expect(asked).toContain("GET /versions");
    expect(asked.filter((one) => one.includes("token"))).toEqual([]);
  });

  it("a Glance under a path that upstream.url does not have", async () => {
    const glance = await start({ path: "/image" });
    const { finding } = await examine(glance.url, WITH_TOKEN);
    expect(finding("reachable")).toMatchObject({
      detail: `no Glance at this address, but found one at ${glance.url}/image`,
      remedy: `set upstream.url to ${glance.url}/image`,
      facts: { found: "wrong_path" },
    });
    expect(glance.asked.filter((one) => one.includes("token"))).toEqual([]);
    expect((await examine(`${glance.url}/image`, WITH_TOKEN)).code).toBe(0);
  });

  it.each(["/images", "/v2", "/image/v2/images"])("a Glance that does not know the path %s", async (path) => {
    const glance = await start({});
    const { finding } = await examine(glance.url + path, WITH_TOKEN);
    expect(finding("reachable")).toMatchObject({
      detail: `no Glance at the path ${path}, but found one at ${glance.url}`,
      facts: { found: "wrong_path" },
    });
    expect(glance.asked.filter((one) => one.includes("token"))).toEqual([]);
  });

  it("something that is not HTTP", async () => {
    const server = createNetServer((socket) => void socket.on("error", () => undefined).end("220 mail\r\n"));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    cleanUp.push(() => server.close());
    const { finding } = await examine(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    expect(finding("reachable")).toMatchObject({
      detail: expect.stringMatching(/not valid HTTP/) as string,
      facts: { found: "no_answer" },
    });
  });

  it("a connection that closes without an answer", async () => {
    const { url } = await listen(createServer((incoming) => void incoming.socket.destroy()));
    const { finding } = await examine(url, WITH_TOKEN);
    expect(finding("reachable")).toMatchObject({ facts: { found: "no_answer" } });
  });
});

describe.concurrent("of a port for TLS,", () => {
  describeWith(["openssl"], "the doctor reports behind TLS", () => {
    let authority: Authority;
    beforeAll(async () => {
      authority = await createAuthority();
    });
    afterAll(() => authority.remove());

    const trust = (): Record<string, string> => ({
      GLANCE_SIZE_PROXY_UPSTREAM__TLS__CA_FILE: authority.certFile,
    });

    async function secure(name = "127.0.0.1", days = 30, options = {}): Promise<Listening> {
      const credentials = await (await authority.issue(name, days)).pem();
      const listening = await listen(createHttpsServer({ ...credentials, ...options }, scripted({})));
      return { ...listening, url: `https://127.0.0.1:${listening.port}` };
    }

    it.each([
      [5, "problem"],
      [20, "ok"],
    ])("when a certificate ends (in %i days: %s)", async (days, expected) => {
      const { url } = await secure("127.0.0.1", days);
      const env = { ...trust(), OS_TOKEN: TOKEN };
      const { stdout } = await run(process.execPath, ["dist/cli.js", "doctor", "--upstream", url], { env });
      expect(stdout).toMatch(
        new RegExp(
          `^certificate +${expected} +Glance's certificate expires on .* days(: renew the certificate)?$`,
          "m",
        ),
      );
      expect(stdout).toMatch(/^keep-alive +ok +Glance keeps connections open$/m);
      expect(stdout).not.toContain(TOKEN);
    });

    it("that a CA is not known", async () => {
      const { url, asked } = await secure();
      const { finding } = await examine(url, WITH_TOKEN);
      expect(finding("reachable")).toMatchObject({
        facts: { found: "unknown_authority" },
        detail: expect.stringContaining("a CA that the proxy does not know") as string,
        remedy: expect.stringContaining("upstream.tls.caFile") as string,
      });
      expect(asked).toEqual([]);
    });

    it("that a certificate is self-signed", async () => {
      const server = createHttpsServer(await authority.pem(), scripted({}));
      const { port, asked } = await listen(server);
      const { finding } = await examine(`https://127.0.0.1:${port}`, WITH_TOKEN);
      expect(finding("reachable")).toMatchObject({
        facts: { found: "self_signed" },
        remedy: expect.stringContaining("upstream.tls.caFile") as string,
      });
      expect(asked).toEqual([]);
    });

    it("that a certificate is for another name", async () => {
      const { url, asked } = await secure("glance.internal");
      const { finding } = await examine(url, WITH_TOKEN, trust());
      expect(finding("reachable")).toMatchObject({
        facts: { found: "wrong_name" },
        detail: expect.stringContaining("DNS:glance.internal") as string,
        remedy: expect.stringContaining("upstream.tls.servername") as string,
      });
      expect(asked).toEqual([]);
    });

    it("that Glance requires a client certificate", async () => {
      const { url } = await secure("127.0.0.1", 30, {
        requestCert: true,
        ca: (await authority.pem()).cert,
      });
      const { finding } = await examine(url, WITH_TOKEN, trust());
      expect(finding("reachable")).toMatchObject({
        facts: { found: "wants_certificate" },
        remedy: expect.stringContaining("upstream.tls.certFile") as string,
      });
      const { certFile, keyFile } = await authority.issue("client");
      const env = {
        ...trust(),
        GLANCE_SIZE_PROXY_UPSTREAM__TLS__CERT_FILE: certFile,
        GLANCE_SIZE_PROXY_UPSTREAM__TLS__KEY_FILE: keyFile,
      };
      expect((await examine(url, WITH_TOKEN, env)).code).toBe(0);
    });

    it("that plain HTTP came to a port for TLS", async () => {
      const { port, asked } = await secure();
      const { finding } = await examine(`http://127.0.0.1:${port}`, WITH_TOKEN);
      expect(finding("reachable")).toMatchObject({
        facts: { found: "tls_port" },
        detail: "this port speaks TLS, not plain HTTP",
        remedy: `set upstream.url to https://127.0.0.1:${port}`,
      });
      expect(asked).toEqual([]);
    });

    it("that plain HTTP came to a port for TLS whose server answers it, as Apache and nginx do", async () => {
      const tls = createHttpsServer(await (await authority.issue("127.0.0.1")).pem(), scripted({}));
      const server = createNetServer((socket) => {
        socket.once("data", (first) => {
          socket.pause().unshift(first);
          if (first[0] === 0x16) tls.emit("connection", socket);
          else socket.end("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        });
      });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      cleanUp.push(() => server.close());
      const { port } = server.address() as AddressInfo;
      const { finding } = await examine(`http://127.0.0.1:${port}`, WITH_TOKEN);
      expect(finding("reachable")).toMatchObject({ facts: { found: "tls_port" } });
    });

    it("that TLS came to a port for plain HTTP", async () => {
      const { port, asked } = await start({});
      const { finding } = await examine(`https://127.0.0.1:${port}`, WITH_TOKEN);
      expect(finding("reachable")).toMatchObject({
        facts: { found: "plain_port" },
        detail: expect.stringContaining("this port does not speak TLS") as string,
        remedy: `set upstream.url to http://127.0.0.1:${port}`,
      });
      expect(asked.filter((one) => one.includes("token"))).toEqual([]);
    });
  });
});

it.concurrent(
  "the doctor exits with code 2 and explains how to set upstream.url if it is missing",
  async () => {
    const { code, stderr } = await run(process.execPath, ["dist/cli.js", "doctor"]);
    expect(stderr).toMatch(/^upstream\.url: .*--upstream/);
    expect(code).toBe(2);
  },
);
