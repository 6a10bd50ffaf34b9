/** `glance-size-proxy doctor`: what it says of Glances that are well, and of such as are not. */
import { createServer, type RequestListener } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { CheckResult } from "../../src/doctor/checks.js";
import { createAuthority, type Authority } from "../support/certificates.js";
import { startProxy } from "../support/proxy.js";
import { request } from "../support/raw-http.js";
import { startRealGlance, type Glance } from "../support/real-glance.js";
import { describeWith } from "../support/requirements.js";
import { run } from "../support/run.js";
import { startStandIn } from "../support/stand-in.js";

const TOKEN = "a-token-nobody-may-see";
const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const act of cleanUp.splice(0).reverse()) await act();
});

interface Report {
  readonly code: number;
  readonly text: string;
  readonly checks: readonly CheckResult[];
  readonly finding: (check: string) => CheckResult | undefined;
}

async function examine(url: string, ...args: string[]): Promise<Report> {
  const doctor = ["dist/cli.js", "doctor", "--upstream", url];
  const { code, stdout, stderr } = await run(process.execPath, [...doctor, "--json", ...args]);
  expect(stderr).toBe("");
  const { checks, healthy } = JSON.parse(stdout) as { checks: CheckResult[]; healthy: boolean };
  expect(healthy).toBe(code === 0);
  return { code, text: stdout, checks, finding: (name) => checks.find(({ check }) => check === name) };
}

/** Every image that is left. */
async function images(port: number): Promise<unknown[]> {
  return ((await request(port, "GET", "/v2/images")).json() as { images: unknown[] }).images;
}

/** @param tellsTime uWSGI alone has no Date in its answers. */
function testHealthy(name: string, start: () => Promise<Glance>, tellsTime = true): void {
  test(`${name} is well, and no image is left behind`, async () => {
    const glance = await start();
    cleanUp.push(() => glance.stop());
    const { code, checks } = await examine(glance.url);
    expect(checks.map(({ check, finding }) => [check, finding])).toEqual([
      ["reachable", "ok"],
      ["clock", tellsTime ? "ok" : "unknown"],
      ["size header", "ok"],
      ["Content-Length", "ok"],
      ["roll-back", "ok"],
    ]);
    expect(checks.map(({ detail }) => detail).join("\n")).toMatch(
      /^Glance, image API v2\.\d+\n(\d s apart|Glance's answers have no Date)\nignored: a Glance before 2025\.2.*\nread: .*\n.* queued after \d+ ms$/,
    );
    expect(code).toBe(0);
    expect(await images(glance.port)).toEqual([]);
  });
}

testHealthy("the stand-in", startStandIn);
describeWith(["glance-api"], "a real Glance", () => {
  testHealthy("Glance under eventlet", () => startRealGlance({ server: "eventlet" }));
});
describeWith(["glance-api", "uwsgi"], "a real Glance under uWSGI", () => {
  testHealthy("Glance under uWSGI", () => startRealGlance({ server: "uwsgi" }), false);
});

/** As much of a Glance as the doctor asks for, with faults. */
interface Faults {
  readonly honoursHeader?: boolean;
  readonly wantsToken?: boolean;
  readonly keepsCutUploads?: boolean;
  readonly keepsImages?: boolean;
  readonly date?: string;
}

function scripted(faults: Faults): RequestListener {
  let image: { id: string; status: string; size: number | null };
  return (incoming, response) => {
    const { method, headers, url } = incoming;
    const answer = (status: number, value?: unknown): void => {
      if (faults.date !== undefined) response.setHeader("date", faults.date);
      response.writeHead(status).end(value === undefined ? "" : JSON.stringify(value));
    };
    if (url === "/versions") return answer(200, { versions: [{ id: "v2.17", status: "CURRENT" }] });
    if (faults.wantsToken && headers["x-auth-token"] !== TOKEN) return answer(401);
    if (method === "POST") {
      image = { id: "one", status: "queued", size: null };
      return answer(201, image);
    }
    if (method === "GET") return answer(200, image);
    if (method === "DELETE") return answer(faults.keepsImages ? 409 : 204);
    image.status = "saving";
    let bytes = 0;
    incoming.on("data", (piece: Buffer) => (bytes += piece.length));
    incoming.once("error", () => {
      image.status = faults.keepsCutUploads ? "active" : "queued";
    });
    incoming.once("end", () => {
      if (faults.honoursHeader && headers["x-openstack-image-size"] === "4") {
        return answer(400, { message: "Size exceeds: expected 4 bytes, got 5 bytes" });
      }
      image = { ...image, status: "active", size: bytes };
      answer(204);
    });
  };
}

async function listen(server: ReturnType<typeof createServer>): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanUp.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

async function start(faults: Faults): Promise<string> {
  return `http://127.0.0.1:${await listen(createServer(scripted(faults)))}`;
}

describe("it says", () => {
  test("that a Glance knows the header", async () => {
    const { code, finding } = await examine(await start({ honoursHeader: true }));
    expect(finding("size header")?.detail).toMatch(/^honoured: Glance 2025\.2 or later/);
    expect(code).toBe(0);
  });

  test("what a token is needed for, where there is none", async () => {
    const { code, finding } = await examine(await start({ wantsToken: true }));
    expect(finding("reachable")?.finding).toBe("ok");
    for (const check of ["size header", "Content-Length", "roll-back"]) {
      expect(finding(check)).toEqual({
        check,
        finding: "unknown",
        detail: "needs to make an image: give --token, or OS_TOKEN",
      });
    }
    expect(code).toBe(0);
  });

  test("that a token is refused, but never the token", async () => {
    const url = await start({ wantsToken: true });
    const { code, text, finding } = await examine(url, "--token", "another-secret");
    expect(finding("roll-back")).toMatchObject({ finding: "problem" });
    expect(text).not.toContain("another-secret");
    expect(code).toBe(1);
    expect((await examine(url, "--token", TOKEN)).code).toBe(0);
  });

  test("that a cut upload became an image", async () => {
    const { code, finding } = await examine(await start({ keepsCutUploads: true }));
    expect(finding("roll-back")).toMatchObject({
      finding: "problem",
      detail: "an upload that was cut left the image active",
    });
    expect(code).toBe(1);
  });

  test("which image it could not delete", async () => {
    const { code, finding } = await examine(await start({ keepsImages: true }));
    expect(finding("roll-back")?.detail).toBe("image one could not be deleted (409): delete it by hand");
    expect(code).toBe(1);
  });

  test("that the clocks differ", async () => {
    const date = new Date(Date.now() - 120_000).toUTCString();
    const { code, finding } = await examine(await start({ date }));
    expect(finding("clock")?.finding).toBe("problem");
    expect(finding("clock")?.detail).toMatch(/^12\d s apart/);
    expect(code).toBe(1);
  });

  test("that nobody is there", async () => {
    const { code, checks } = await examine("http://127.0.0.1:1");
    expect(checks).toEqual([
      { check: "reachable", finding: "problem", detail: "Glance cannot be reached. (ECONNREFUSED)" },
    ]);
    expect(code).toBe(1);
  });

  test("that it is no Glance", async () => {
    const port = await listen(createServer((_incoming, response) => void response.end("It works!")));
    const { finding } = await examine(`http://127.0.0.1:${port}`);
    expect(finding("reachable")?.detail).toMatch(/^not a Glance/);
  });

  test("that it is the proxy itself", async () => {
    const glance = await startStandIn();
    cleanUp.push(() => glance.stop());
    const proxy = await startProxy(glance.url);
    cleanUp.push(() => proxy.stop());
    const { code, finding } = await examine(proxy.url);
    expect(finding("reachable")?.detail).toContain("this is glance-size-proxy itself");
    expect(code).toBe(1);
  });
});

describeWith(["openssl"], "behind TLS it says", () => {
  let authority: Authority;
  beforeAll(async () => {
    authority = await createAuthority();
  });
  afterAll(() => authority.remove());

  test.each([
    [5, "problem"],
    [20, "ok"],
  ])("when a certificate ends (in %i days: %s)", async (days, expected) => {
    const credentials = await (await authority.issue("127.0.0.1", days)).pem();
    const port = await listen(createHttpsServer(credentials, scripted({})));
    const url = `https://127.0.0.1:${port}`;
    expect((await examine(url)).finding("reachable")?.detail).toMatch(
      /^Glance cannot be reached: TLS failed/,
    );
    const env = { GLANCE_SIZE_PROXY_UPSTREAM__TLS__CA_FILE: authority.certFile, OS_TOKEN: TOKEN };
    const { stdout } = await run(process.execPath, ["dist/cli.js", "doctor", "--upstream", url], { env });
    expect(stdout).toMatch(
      new RegExp(`^certificate +${expected} +Glance's certificate ends on .* days$`, "m"),
    );
    expect(stdout).not.toContain(TOKEN);
  });
});

test("without an upstream it says how to give one, and ends with 2", async () => {
  const { code, stderr } = await run(process.execPath, ["dist/cli.js", "doctor"]);
  expect(stderr).toMatch(/^upstream\.url: .*--upstream/);
  expect(code).toBe(2);
});
