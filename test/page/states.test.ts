/** What the live page says when nothing goes on, and when something is wrong. */
import type { Page } from "playwright-core";
import { expect, it } from "vitest";
import { FILE, SIZE, useScene } from "../e2e/scene.js";
import { startCommand } from "../support/cli.js";
import { request } from "../support/raw-http.js";
import { describeWith } from "../support/requirements.js";
import { SOON, useBrowser } from "./live-page.js";

describeWith(["chromium"], "the live page", () => {
  const scene = useScene();
  const browser = useBrowser();

  const state = (page: Page) => expect.poll(() => page.getByRole("status").innerText(), SOON);
  const notice = (page: Page) => expect.poll(() => page.locator(".notice").allInnerTexts(), SOON);

  it("says that no upload is in flight", async () => {
    const { page } = await browser.open(scene.proxy.adminPort);
    await state(page).toBe("Glance ready");
    await notice(page).toEqual([]);
    expect(await page.locator(".empty").allInnerTexts()).toEqual([
      "No upload is in flight.",
      "No upload has finished since the proxy started.",
    ]);
  });

  it("says that it connects until the first event comes, and what may be wrong if none comes", async () => {
    const { page, expectLoss } = await browser.open(scene.proxy.adminPort);
    expectLoss();
    await page.route("**/events", () => undefined); // no answer
    await page.reload();
    await notice(page).toEqual(["Connecting to /events ..."]);
    await notice(page).toEqual([expect.stringContaining("No event has come from /events")]);
    await page.unroute("**/events");
    await state(page).toBe("Glance ready");
    await notice(page).toEqual([]);
  });

  it("says that Glance is down, and that it is back", async () => {
    scene.upstream.onOther = (incoming) => void incoming.socket.destroy();
    const { page } = await browser.open(scene.proxy.adminPort);
    await state(page).toBe("Glance unreachable");
    await notice(page).toEqual([expect.stringContaining("all requests fail")]);
    expect(await page.title()).toBe("Glance is unreachable – glance-size-proxy");
    const icon = () => page.locator("link[rel=icon]").getAttribute("href");
    expect(await icon()).toMatch(/\/icon-bad-[\w-]+\.svg$/);
    scene.upstream.onOther = (_incoming, response) => void response.end();
    await state(page).toBe("Glance ready");
    await notice(page).toEqual([]);
    expect(await page.title()).toBe("Glance is ready – glance-size-proxy");
    expect(await icon()).toMatch(/\/icon-(?!bad)[\w-]+\.svg$/);
  });

  it("distinguishes a slow, busy, silent and unreachable Glance", async () => {
    const proxy = await scene.startAnother({ readiness: { silence: "6s" } });
    // More than a second, less than the two for which the proxy waits.
    scene.upstream.onOther = (_incoming, response) => void setTimeout(() => response.end(), 1_200);
    const { page } = await browser.open(proxy.adminPort);
    await state(page).toBe("Glance slow");
    await notice(page).toEqual([expect.stringContaining("more than a second")]);
    scene.upstream.onOther = () => undefined;
    await state(page).toBe("Glance busy");
    await notice(page).toEqual([expect.not.stringContaining("all requests")]);
    await state(page).toBe("Glance silent");
    await notice(page).toEqual([expect.stringContaining("all requests wait")]);
    scene.upstream.onOther = (_incoming, response) => void response.end();
    await state(page).toBe("Glance ready");
    await notice(page).toEqual([]);
  });

  it("says that the proxy is draining, and shows the uploads in flight", async () => {
    const { page, expectLoss } = await browser.open(scene.proxy.adminPort);
    await state(page).toBe("Glance ready");
    const peer = await scene.startUpload({ [SIZE]: 5 });
    await scene.uploadUpstream();
    const drained = scene.proxy.drain();
    await state(page).toBe("Draining");
    await page.getByRole("progressbar", { name: "Progress of one" }).waitFor();
    expectLoss();
    peer.sendChunk("hello").endChunks();
    await drained;
    await state(page).toBe("Connection lost, reconnecting");
    await notice(page).toEqual([expect.stringContaining("The proxy was draining")]);
  });

  it("reports a lost connection, keeps its data, and reconnects when the proxy is back", async () => {
    const { adminPort } = scene.proxy;
    const { page, expectLoss } = await browser.open(adminPort);
    await request(scene.proxy.port, "PUT", FILE, { body: "hello" });
    const outcomes = () => expect.poll(() => page.locator(".verdict").allInnerTexts(), SOON);
    await outcomes().toEqual(["completed"]);
    expectLoss();
    scene.proxy.stop();
    await state(page).toBe("Connection lost, reconnecting");
    await notice(page).toEqual([
      expect.stringMatching(/ does not respond\. .* the state at \d\d:\d\d:\d\d\.$/),
    ]);
    expect(await page.locator(".verdict").allInnerTexts()).toEqual(["completed"]);
    await scene.startAnother({ admin: { address: `127.0.0.1:${adminPort}` } });
    await state(page).toBe("Glance ready");
    await notice(page).toEqual([]);
    await outcomes().toEqual([]); // it knows nothing of those before
  });

  it("reports a silent stream as lost, and recovers when it sends again", async () => {
    const command = await startCommand(scene.upstream.url);
    try {
      const { page, expectLoss } = await browser.open(command.adminPort);
      await state(page).toBe("Glance ready");
      expectLoss();
      command.child.kill("SIGSTOP");
      await state(page).toBe("Connection lost, reconnecting");
      command.child.kill("SIGCONT");
      await state(page).toBe("Glance ready");
    } finally {
      await command.stop();
    }
  });

  it("announces only its state to screen readers", async () => {
    const { page } = await browser.open(scene.proxy.adminPort);
    await state(page).toBe("Glance ready");
    expect(await page.locator("[aria-live], [role=status], [role=alert], [role=log], output").count()).toBe(
      1,
    );
  });
});
