/** What scripts of another origin, such as Horizon's, can do with a real Glance behind the proxy, and what they learn of a refusal. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createImage, showImage } from "../support/glance-client.js";
import { startProxy, type TestProxy } from "../support/proxy.js";
import { type RealGlance, startRealGlance } from "../support/real-glance.js";
import { describeWith } from "../support/requirements.js";
import { launchBrowser } from "./live-page.js";

const PUT = { method: "PUT", body: "hello" };

interface Sent {
  readonly method: string;
  readonly body: string;
  readonly size?: string;
  readonly credentials?: "omit" | "include";
}

/** What a script learns. */
interface Learnt {
  readonly status?: number;
  readonly text?: string;
  readonly requestId?: string | null;
  /** The browser told the script nothing else. */
  readonly error?: string;
}

const SCRIPT = `
function headersFor({ size }) {
  const headers = { "Content-Type": "application/octet-stream", "X-Auth-Token": "t" };
  return size === undefined ? headers : { ...headers, "x-openstack-image-size": size };
}

async function byFetch(url, sent) {
  const { method, body, credentials = "same-origin" } = sent;
  try {
    const answer = await fetch(url, { method, body, credentials, headers: headersFor(sent) });
    return {
      status: answer.status,
      text: await answer.text(),
      requestId: answer.headers.get("x-openstack-request-id"),
    };
  } catch (error) {
    return { error: String(error) };
  }
}

function byXhr(url, sent) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open(sent.method, url);
    request.withCredentials = sent.credentials === "include";
    for (const [name, value] of Object.entries(headersFor(sent))) request.setRequestHeader(name, value);
    request.onload = () =>
      resolve({
        status: request.status,
        text: request.responseText,
        requestId: request.getResponseHeader("x-openstack-request-id"),
      });
    request.onerror = () => resolve({ error: "error" });
    request.send(sent.body);
  });
}
`;

describeWith(["chromium", "glance-api"], "a script of another origin", () => {
  let pages: Server;
  let glance: RealGlance;
  let proxy: TestProxy;
  let browser: Browser;
  let listed: Page;
  let stranger: Page;

  beforeAll(async () => {
    pages = createServer((_, response) =>
      response.setHeader("content-type", "text/html").end(`<script>${SCRIPT}</script>`),
    );
    pages.listen(0);
    await once(pages, "listening");
    const { port } = pages.address() as AddressInfo;
    const origin = `http://127.0.0.1:${port}`;
    // `allow_headers` as Glance has them by default: without the size.
    glance = await startRealGlance({
      server: "eventlet",
      defaults: ["[cors]", `allowed_origin = ${origin}`],
    });
    proxy = await startProxy(glance.url, {
      cors: { allowedOrigins: [origin] },
      limits: { maxImageSize: 1000 },
    });
    browser = await launchBrowser();
    listed = await browser.newPage();
    await listed.goto(origin);
    stranger = await browser.newPage();
    await stranger.goto(`http://localhost:${port}`); // another origin, which nobody has listed
  });
  afterAll(async () => {
    await (browser as Browser | undefined)?.close();
    (proxy as TestProxy | undefined)?.stop();
    await (glance as RealGlance | undefined)?.stop();
    (pages as Server | undefined)?.close();
  });

  type Send = (page: Page, url: string, sent: Sent) => Promise<Learnt>;
  const call =
    (name: "byFetch" | "byXhr"): Send =>
    (page, url, sent) =>
      page.evaluate(`${name}(${JSON.stringify(url)}, ${JSON.stringify(sent)})`);
  const byFetch = call("byFetch");
  const byXhr = call("byXhr");

  const fileOf = (base: string, id: string): string => `${base}/v2/images/${id}/file`;

  it("cannot send the size to Glance itself", async () => {
    const url = fileOf(glance.url, await createImage(glance.port));
    expect(await byFetch(listed, url, { ...PUT, size: "5" })).toHaveProperty("error");
  });

  const ways = [
    ["fetch", byFetch],
    ["XMLHttpRequest", byXhr],
  ] as const;

  it.each(ways)("can upload through the proxy, with the size: %s", async (_, send) => {
    for (const credentials of ["omit", "include"] as const) {
      const id = await createImage(glance.port);
      const learnt = await send(listed, fileOf(proxy.url, id), { ...PUT, size: "5", credentials });
      expect(learnt).toMatchObject({ status: 204, requestId: expect.stringMatching(/^req-/) as string });
      expect(await showImage(glance.port, id)).toMatchObject({ status: "active", size: 5 });
    }
  });

  it.each(ways)("can read why the proxy refuses an upload: %s", async (_, send) => {
    const id = await createImage(glance.port);
    const url = fileOf(proxy.url, id);
    const long = "x".repeat(1001);
    for (const credentials of ["omit", "include"] as const) {
      const learn = (sent: Partial<Sent>) => send(listed, url, { ...PUT, credentials, ...sent });
      const requestId = expect.stringMatching(/^req-/) as string;
      const contains = (text: string) => expect.stringContaining(text) as string;
      expect(await learn({ size: "4" })).toEqual({
        status: 400,
        text: contains("Size exceeds: expected 4 bytes"),
        requestId,
      });
      expect(await learn({ size: "x" })).toEqual({
        status: 400,
        text: contains("Invalid or missing image size"),
        requestId,
      });
      expect(await learn({ body: long })).toEqual({
        status: 413,
        text: contains("The maximum is 1000 bytes"),
        requestId,
      });
    }
    expect(await showImage(glance.port, id)).toMatchObject({ status: "queued" });
  });

  it.each(ways)(
    "can upload nothing, and read nothing, if nobody has listed its origin: %s",
    async (_, send) => {
      const id = await createImage(glance.port);
      expect(await send(stranger, fileOf(proxy.url, id), PUT)).toHaveProperty("error");
      expect(await send(stranger, fileOf(proxy.url, id), { ...PUT, size: "5" })).toHaveProperty("error");
      expect(await showImage(glance.port, id)).toMatchObject({ status: "queued" });
    },
  );
});
