/** Who cannot see the page as it was meant, or uses another device: axe finds nothing serious, in no state. */
import type { Page } from "playwright-core";
import { expect, it } from "vitest";
import { FILE, type Scene, SIZE, useScene } from "../e2e/scene.js";
import { request } from "../support/raw-http.js";
import { describeWith } from "../support/requirements.js";
import { findBarriers, PHONE, SOON, useBrowser } from "./live-page.js";

const LOOKS = [
  ["in light", { colorScheme: "light" }],
  ["in dark", { colorScheme: "dark" }],
  ["in light, on a phone", { colorScheme: "light", viewport: PHONE }],
  ["in dark, on a phone", { colorScheme: "dark", viewport: PHONE }],
] as const;

/** Something of everything. */
async function makeBusy(scene: Scene): Promise<void> {
  await request(scene.proxy.port, "PUT", FILE, { body: "hello" });
  await request(scene.proxy.port, "PUT", FILE, { body: "hello", headers: { [SIZE]: "1000000000000" } });
  const leaving = await scene.startUpload({ [SIZE]: 5 });
  await expect.poll(() => scene.upstream.uploads.length).toBe(2);
  leaving.destroy();
  const ids = ["e0f2cf6a-8e0c-4a0b-9a53-5b1d2f5f0a11", "unknown", "an-id-".repeat(50)];
  for (const id of ids) {
    const peer = await scene.startUpload(
      id === "unknown" ? {} : { [SIZE]: 2 ** 43 },
      `/v2/images/${id}/file`,
    );
    peer.sendChunk("hello");
  }
}

describeWith(["chromium"], "the live page is accessible:", () => {
  const scene = useScene();
  const browser = useBrowser();

  const rows = (page: Page) => expect.poll(() => page.locator("tbody tr").count(), SOON);
  const state = (page: Page) => expect.poll(() => page.getByRole("status").innerText(), SOON);

  it.each(LOOKS)("%s", async (_, look) => {
    const { adminPort } = scene.proxy;
    const { page, expectLoss } = await browser.open(adminPort, look);
    await state(page).toBe("Glance ready");
    expect(await findBarriers(page), "nothing going on").toEqual([]);
    await makeBusy(scene);
    await rows(page).toBe(6);
    for (const list of [".moving", ".finished"]) await page.locator(`${list} .opener`).first().click();
    await rows(page).toBe(8);
    expect(await findBarriers(page), "busy").toEqual([]);
    scene.upstream.onOther = (incoming) => void incoming.socket.destroy();
    await state(page).toBe("Glance unreachable");
    expect(await findBarriers(page), "Glance down").toEqual([]);
    void scene.proxy.drain();
    await state(page).toBe("Draining");
    expect(await findBarriers(page), "draining").toEqual([]);
    expectLoss();
    scene.proxy.stop();
    await state(page).toBe("Connection lost, reconnecting");
    expect(await findBarriers(page), "lost").toEqual([]);
  });

  it.each([320, PHONE.width, 768, 1024, 1600])("fits into a width of %d", async (width) => {
    await makeBusy(scene);
    const { page } = await browser.open(scene.proxy.adminPort, { viewport: { width, height: 700 } });
    await rows(page).toBe(6);
    for (const list of [".moving", ".finished"]) await page.locator(`${list} .opener`).first().click();
    await rows(page).toBe(8);
    // Rows out of sight have no width of their own.
    for (const row of await page.locator("tbody tr").all()) await row.scrollIntoViewIfNeeded();
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(width);
    const right = await page
      .locator("td, dd, select, canvas")
      .evaluateAll((elements) =>
        Math.max(...elements.map((element) => (element as unknown as Box).getBoundingClientRect().right)),
      );
    expect(right).toBeLessThanOrEqual(width);
  });

  it("uploads are a table with named columns for a screen reader, even if rows are cards", async () => {
    await makeBusy(scene);
    const { page } = await browser.open(scene.proxy.adminPort, { viewport: PHONE });
    await rows(page).toBe(6);
    const tree = await page.getByRole("table", { name: "Uploads in flight" }).ariaSnapshot();
    for (const part of [
      'columnheader "Time left"',
      'progressbar "Progress of e0f2cf6a-8e0c-4a0b-9a53-5b1d2f5f0a11"',
      'cell "size: header"',
    ]) {
      expect(tree).toContain(part);
    }
  });
});

/** As much of the DOM as is needed; the tests have Node's types only. */
interface Box {
  getBoundingClientRect(): { readonly right: number };
}
